-- What each view of disputes of payments is for.

comment on view topup.payment_dispute_fault is 'What is wrong with disputes of payments; read by topup.check().';
