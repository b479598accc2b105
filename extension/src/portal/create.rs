//! A link into the portal, as the tenant's server asks for it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session;
use crate::operation::handler::Handler;
use crate::payment::create::check_url;
use crate::pg::settings;
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::reply::{Outcome, Reply};

/// Who is to be let in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortalRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// Where the portal leads back: http or https.
    pub return_url: String,
    /// Where a link leads that is over.
    pub failure_url: String,
}

/// A link that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PortalLink {
    /// Send the customer there at once: whoever presses the button on that page first is in.
    pub redirect_url: String,
    /// When the link is over, used or not. RFC 3339, UTC.
    pub expires_at: String,
}

pub struct Create;

impl Handler for Create {
    const NAME: &'static str = "portal_session_create";
    type Request = PortalRequest;
    type Data = PortalLink;

    fn handle(caller: &Caller, request: &PortalRequest) -> Outcome<PortalLink> {
        for (field, url) in [("return_url", &request.return_url), ("failure_url", &request.failure_url)] {
            check_url(field, url)?;
        }
        let customer_id = customer::require(caller, &request.customer_id)?;
        let link = session::make(caller, customer_id, &request.return_url, &request.failure_url)?;
        let data = PortalLink {
            redirect_url: format!("{}/portal/enter/{}", settings::public_url(), link.token),
            expires_at: link.expires_at.rfc3339(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}
