//! What is asked of Postgres for payments.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::outcome::{Order, Report, Settlement};
use super::view::View;
use crate::postgres::database::{Database, Fault, Parameter, one, query};

/// An order that is ours until its lease ends.
#[derive(Debug)]
pub struct Claim {
    pub tenant_id: Uuid,
    pub payment_id: Uuid,
    pub fence: i64,
    /// Nothing where this gateway does not understand it.
    pub order: Option<Order>,
}

impl Database {
    /// The checkout of this token; nothing where there is none.
    pub async fn checkout_view(&self, token: &str) -> Result<Option<View>, Fault> {
        view(self.page(token, "select topup.checkout_view($1)::text", &[(&token, Type::TEXT)]).await?)
    }

    /// Where clients reach this service. Calling any function of the library loads it, which knows the default.
    pub async fn public_url(&self) -> Result<String, Fault> {
        let sql = "select pg_catalog.current_setting('topup.public_url', true) from topup.codes() limit 1";
        let url: Option<String> = one(query(&self.upkeep, sql, &[]).await?)?.try_get(0)?;
        url.ok_or_else(|| Fault::internal("topup.public_url is not set".to_owned()))
    }

    /// Opens the payment, under the provider's ids of its checkout and of the payer where there are any.
    pub async fn checkout_begin(
        &self,
        token: &str,
        id: Option<&str>,
        payer: Option<&str>,
    ) -> Result<Option<View>, Fault> {
        let parameters: [Parameter; 3] = [(&token, Type::TEXT), (&id, Type::TEXT), (&payer, Type::TEXT)];
        view(self.page(token, "select topup.checkout_begin($1, $2, $3)::text", &parameters).await?)
    }

    /// Records what was paid, refused or refunded; nothing where no such payment is known.
    pub async fn report_payment(&self, report: &Report) -> Result<Option<View>, Fault> {
        let parameters: [Parameter; 1] = [(&Json(report), Type::JSONB)];
        view(self.payment("select topup.report_payment($1)::text", &parameters).await?)
    }

    pub async fn claim_payments(&self, batch_max: usize, lease_s: u64) -> Result<Vec<Claim>, Fault> {
        let sql = "select tenant_id, payment_id, fence, request::text from topup.claim_payments($1, $2)";
        let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        let (batch_max, lease_s) = (small(batch_max as u64), small(lease_s));
        let rows = self.payment(sql, &[(&batch_max, Type::INT4), (&lease_s, Type::INT4)]).await?;
        rows.iter().map(claim).collect()
    }

    /// Records the outcome of one order; gives whether it changed the payment.
    pub async fn settle_payment(&self, settlement: &Settlement) -> Result<bool, Fault> {
        let sql = "select topup.settle_payments($1)";
        let outcomes = Json([settlement]);
        let row = one(self.payment(sql, &[(&outcomes, Type::JSONB)]).await?)?;
        Ok(row.try_get::<_, i32>(0)? > 0)
    }

    /// Seconds until a payment needs the worker; nothing while none is open.
    pub async fn next_payment_due_s(&self) -> Result<Option<f64>, Fault> {
        Ok(one(self.payment("select topup.next_payment_due()", &[]).await?)?.try_get(0)?)
    }
}

fn view(rows: Vec<Row>) -> Result<Option<View>, Fault> {
    let text: Option<String> = one(rows)?.try_get(0)?;
    text.map(|text| parsed(&text)).transpose()
}

fn claim(row: &Row) -> Result<Claim, Fault> {
    let (payment_id, request): (Uuid, String) = (row.try_get(1)?, row.try_get(3)?);
    let order = parsed(&request).inspect_err(|fault| {
        tracing::error!(%payment_id, %fault, "what is to be done for this payment is not understood");
    });
    Ok(Claim { tenant_id: row.try_get(0)?, payment_id, fence: row.try_get(2)?, order: order.ok() })
}

/// As text, not as a JSON value: that would not keep the digits of an amount.
fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::internal(format!("not what was expected: {error}")))
}
