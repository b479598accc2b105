-- What each function and view of refunds of payments is for.

comment on view topup.payment_refund_fault is 'What is wrong with refunds of payments; read by topup.check().';

comment on function topup.top_up_refund is
    'Refunds a top-up (top_…): amount in major units of its currency, all that is left of it if null. Takes back what is left of the credit that it bought, never other credit, and has the provider send the money back. Returns the envelope with refunded_credit and not_recovered, in major units of the asset.';
