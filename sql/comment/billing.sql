-- What each function of products, subscriptions and usage is for.

comment on view topup.billing_fault is 'What is wrong with usage, fees, meters and subscriptions; read by topup.check().';

comment on function topup.product_create is
    'Makes a product with its first version, a draft unless publish is true. prices and entitlements are JSON arrays in the shapes of the API, amounts in major units of their asset. 2000 names what is wrong by its path, or the code if another product has it.';
comment on function topup.product_list is 'Products, newest first: code, page_offset, page_size 1 to 100 (20).';
comment on function topup.product_get is 'A product (prod_…) with its versions, and the prices of the default one.';
comment on function topup.product_delete is 'Deletes a product; refused while customers are subscribed to it.';
comment on function topup.product_version_create is
    'Makes the next version of a product. A price that has the id of an earlier one goes on as the same price: its tiers and renewals are not begun anew.';
comment on function topup.product_version_get is 'A version of a product with its prices and entitlements.';
comment on function topup.product_version_update is
    'Publishes a draft, or makes a published version the default. The first one published becomes it by itself.';
comment on function topup.product_version_archive is
    'Archives a version: it can no longer be subscribed to. The default version is refused.';
comment on function topup.simulate_usage is
    'What events (a JSON array, 1 to 1,000) would cost a customer that has used nothing yet: fees in major units, and warnings for what nothing prices. Writes nothing.';
comment on function topup.product_subscribers is 'Who is subscribed to a product, newest first.';
comment on function topup.subscription_create is
    'Subscribes a customer to products, a JSON array of {id or code, version}, from starts_at on (now if null). Fixed prices are collected from the balance at once and at each renewal; not covered, the status is action_required until they are.';
comment on function topup.subscription_update is
    'inactive ends a subscription (sub_…) now; active resumes it, or tries at once to collect what is owed.';
comment on function topup.subscription_product_update is
    'Changes the version of a product in a subscription from now on; the default version if null.';
comment on function topup.unpriced_last_hour is
    'For the gateway''s metrics: how many events that nothing prices were recorded within the last hour, by all; at most 100,000 are counted.';
comment on function topup.record_usage is
    'Records usage events of a customer (a JSON array, 1 to 1,000) in the caller''s own transaction: whole or not at all, each id once for good. Priced by what the customer was subscribed to at occurred_at; an account may fall below zero. Returns how many were new, how many repeated, how many of the new nothing priced, and the fees in major units of each asset. 2000 names events[i].field; 2006 an id used for other content.';
comment on function topup.usage_event_list is
    'Usage events, newest first: of a customer, an id, a subject, days (UTC), types with commas between them, with or without fees; page_offset, page_size 1 to 100 (20).';
comment on function topup.usage_event_get is 'A usage event by your own id of it, with its fees.';
comment on function topup.keep_published_version is 'Keeps what was published from being changed.';
comment on function topup.renew is 'Does for a subscription what is due.';
comment on function topup.renew_due is 'Does for one subscription what is due; false where nothing is.';
