//! What a session's transaction has read, counted by Postgres: rows of each table, and entries of each index.

use tokio_postgres::Client;

/// Rows that each table and each index has given since the transaction began. Rows that are updated in place are left
/// out: their old versions count as read until the transaction ends.
const READ: &str = "
    select c.oid::regclass::text, pg_stat_get_xact_numscans(c.oid), pg_stat_get_xact_tuples_returned(c.oid), c.relkind = 'r'
      from pg_class c left join pg_index i on i.indexrelid = c.oid
     where c.relnamespace = 'topup'::regnamespace and c.relkind in ('r', 'i')
       and coalesce(i.indrelid, c.oid) not in ('topup.balance'::regclass, 'topup.key_usage'::regclass,
                                               'topup.credit_grant'::regclass, 'topup.usage_meter'::regclass)
     order by c.oid";

/// What a table or an index has given.
#[derive(Debug)]
pub struct Read {
    pub relation: String,
    pub scans: i64,
    pub rows: i64,
    pub is_table: bool,
}

/// All that a transaction has read so far.
pub async fn reads(client: &Client) -> Vec<Read> {
    let rows = client.query(READ, &[]).await.unwrap();
    let read = |row: &tokio_postgres::Row| Read {
        relation: row.get(0),
        scans: row.get(1),
        rows: row.get(2),
        is_table: row.get(3),
    };
    rows.iter().map(read).collect()
}

/// Runs a statement in a transaction that is rolled back, and gives the most rows that one table or index has given.
pub async fn most_rows_read(client: &Client, statement: &str) -> (i64, String) {
    client.batch_execute("begin").await.unwrap();
    let before = reads(client).await;
    client.query(statement, &[]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let after = reads(client).await;
    client.batch_execute("rollback").await.unwrap();
    let given = after.iter().zip(&before).map(|(after, before)| (after.rows - before.rows, &after.relation));
    let (rows, relation) = given.max().unwrap();
    (rows, relation.clone())
}
