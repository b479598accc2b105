//! What the portal asks of Postgres.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_postgres::types::{Json, Type};

use super::view::{History, View};
use crate::postgres::database::{Database, Fault, Parameter, one};

/// A link that is known, before anybody uses it.
#[derive(Deserialize)]
pub struct Link {
    /// Whether it still lets in.
    pub is_open: bool,
    pub failure_url: String,
    pub merchant: String,
    pub customer: String,
    /// Whose session the browser is in, where that is another customer's.
    pub instead_of: Option<Whose>,
}

#[derive(Deserialize)]
pub struct Whose {
    pub merchant: String,
    pub customer: String,
}

/// What became of a link that is known.
#[derive(Deserialize)]
pub struct Entered {
    /// Nothing: the link is over.
    pub session: Option<String>,
}

/// The answer to something done, or why it was not.
#[derive(Deserialize)]
pub struct Answer<D> {
    pub success: bool,
    pub data: D,
}

/// What there is to say of something done.
#[derive(Default, Deserialize)]
pub struct Done {
    pub redirect_url: Option<String>,
    /// Of a refusal.
    pub message: Option<String>,
    pub field: Option<String>,
}

/// The file, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Csv {
    File(String),
    Refused(Done),
}

/// Each gives nothing where the link or the session is unknown or over.
impl Database {
    /// Uses nothing up.
    pub async fn portal_link(&self, link: &str, session: Option<&str>) -> Result<Option<Link>, Fault> {
        let parameters: [Parameter; 2] = [(&link, Type::TEXT), (&session, Type::TEXT)];
        self.portal(link, "select topup.portal_link($1, $2)::text", &parameters).await
    }

    pub async fn portal_enter(&self, link: &str) -> Result<Option<Entered>, Fault> {
        self.portal(link, "select topup.portal_enter($1)::text", &[(&link, Type::TEXT)]).await
    }

    pub async fn portal_view(&self, session: &str) -> Result<Option<View>, Fault> {
        self.portal(session, "select topup.portal_view($1)::text", &[(&session, Type::TEXT)]).await
    }

    pub async fn portal_history(
        &self,
        session: &str,
        account_id: &str,
        before: Option<i64>,
    ) -> Result<Option<History>, Fault> {
        let sql = "select topup.portal_history($1, $2, $3)::text";
        let parameters: [Parameter; 3] =
            [(&session, Type::TEXT), (&account_id, Type::TEXT), (&before, Type::INT8)];
        self.portal(session, sql, &parameters).await
    }

    pub async fn portal_csv(
        &self,
        session: &str,
        period: &serde_json::Value,
    ) -> Result<Option<Answer<Csv>>, Fault> {
        let sql = "select topup.portal_csv($1, $2)::text";
        self.portal(session, sql, &[(&session, Type::TEXT), (&Json(period), Type::JSONB)]).await
    }

    pub async fn portal_act(
        &self,
        session: &str,
        action: &str,
        request: &serde_json::Value,
    ) -> Result<Option<Answer<Done>>, Fault> {
        let sql = "select topup.portal_act($1, $2, $3)::text";
        let parameters: [Parameter; 3] =
            [(&session, Type::TEXT), (&action, Type::TEXT), (&Json(request), Type::JSONB)];
        self.portal(session, sql, &parameters).await
    }

    /// Gives where the portal leads back.
    pub async fn portal_leave(&self, session: &str) -> Result<Option<String>, Fault> {
        let sql = "select topup.portal_leave($1)";
        Ok(one(self.page(session, sql, &[(&session, Type::TEXT)]).await?)?.try_get(0)?)
    }

    async fn portal<T: DeserializeOwned>(
        &self,
        token: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<T>, Fault> {
        let text: Option<String> = one(self.page(token, sql, parameters).await?)?.try_get(0)?;
        let parsed = |text: String| {
            serde_json::from_str(&text)
                .map_err(|error| Fault::internal(format!("not what was expected: {error}")))
        };
        text.map(parsed).transpose()
    }
}
