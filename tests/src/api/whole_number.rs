//! Whole numbers in every spelling, for every field of every operation that takes one. Made from the catalog.

use crate::support::{Shop, as_envelope};
use serde_json::Value;
use tokio_postgres::Client;

/// 7, as clients write it whose language knows one kind of number.
const SPELLINGS: [&str; 6] =
    ["7.0", "7e0", "0.7E1", "70e-1", "7.000000000000000000000000000000", "0.00007e+5"];
const DEPTH_MAX: usize = 8;

/// A request with every field that there is, as text; each whole number in it is `@` and its place, in quotes.
struct Request {
    text: String,
    /// The name of each whole number's field.
    places: Vec<String>,
}

impl Request {
    fn of(schema: &Value) -> Request {
        let mut request = Request { text: String::new(), places: Vec::new() };
        request.value("", schema, schema, 0);
        request
    }

    fn value(&mut self, name: &str, schema: &Value, root: &Value, depth: usize) {
        let schema = match schema["$ref"].as_str() {
            Some(target) => root.pointer(target.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let union = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array());
        let constant = schema.get("const").or_else(|| schema["enum"].get(0));
        if let Some(parts) = union {
            let part = parts.iter().find(|part| part["type"] != "null").unwrap();
            return self.value(name, part, root, depth);
        }
        match (constant, kinds.first().copied()) {
            (Some(constant), _) => self.text.push_str(&constant.to_string()),
            (_, Some("integer")) => {
                self.text.push_str(&format!("\"@{}\"", self.places.len()));
                self.places.push(name.to_owned());
            }
            (_, Some("number")) => self.text.push_str("1.5"),
            (_, Some("boolean")) => self.text.push_str("true"),
            (_, Some("array")) if depth < DEPTH_MAX => {
                self.text.push('[');
                self.value(name, &schema["items"], root, depth + 1);
                self.text.push(']');
            }
            (_, Some("object")) if depth < DEPTH_MAX => self.object(schema, root, depth),
            (_, Some("array")) => self.text.push_str("[]"),
            (_, Some("object")) => self.text.push_str("{}"),
            _ if name == "data" => self.text.push_str("{}"),
            _ => self.text.push_str(&Value::from(text_of(name)).to_string()),
        }
    }

    fn object(&mut self, schema: &Value, root: &Value, depth: usize) {
        self.text.push('{');
        for (n, (name, field)) in schema["properties"].as_object().into_iter().flatten().enumerate() {
            self.text.push_str(&format!("{}\"{name}\":", if n == 0 { "" } else { "," }));
            self.value(name, field, root, depth + 1);
        }
        self.text.push('}');
    }

    /// The request with this spelling in one place and digits in the others; at no place, digits in all.
    fn with(&self, place: Option<usize>, spelling: &str) -> String {
        (0..self.places.len()).fold(self.text.clone(), |text, other| {
            let number = if place == Some(other) { spelling } else { "7" };
            text.replace(&format!("\"@{other}\""), number)
        })
    }
}

/// A text that can be read wherever the field of this name is read as more than text.
fn text_of(name: &str) -> &'static str {
    let is_time = name.ends_with("_at") || matches!(name, "since" | "until" | "from" | "to" | "at");
    match name {
        "day" | "start_day" | "end_day" => "2026-01-01",
        _ if is_time => "2026-01-01T00:00:00Z",
        _ => "x",
    }
}

/// What an operation answers, of which nothing remains: status, code, field and message.
async fn ask(client: &Client, key: &str, operation: &str, request: &str) -> (i16, String) {
    client.batch_execute("begin").await.unwrap();
    let query = "select status, body from topup.call($1, $2, $3)";
    let row = client.query_one(query, &[&key, &operation, &request]).await.unwrap();
    client.batch_execute("rollback").await.unwrap();
    let status: i16 = row.get(0);
    let envelope = as_envelope(status, row.get(1));
    let data = &envelope["data"];
    (status, format!("{} {} {}", envelope["code"], data["field"], data["message"]))
}

#[tokio::test]
async fn a_whole_number_counts_however_it_is_written_in_every_field_of_every_operation() {
    let shop = Shop::open().await;
    let admin = shop.database.admin().await;
    let scopes = "scopes => array['send','read','cancel','redeem','webhooks','wallets','funding','fulfil']";
    let key = shop.database.tenant("Thorough").await.key("staging", scopes).await.1;
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in admin.query("select name, request_schema from topup.operations()", &[]).await.unwrap() {
        let (name, schema): (String, Value) = (operation.get(0), operation.get(1));
        let request = Request::of(&schema);
        let in_digits = ask(&admin, &key, &name, &request.with(None, "")).await;
        for (place, field) in request.places.iter().enumerate() {
            // The field is reached: what is no whole number is refused there.
            let (_, refusal) = ask(&admin, &key, &name, &request.with(Some(place), "7.5")).await;
            if !refusal.starts_with("2000") || !refusal.contains(field.as_str()) {
                wrong.push(format!("{name}: {field} is not judged: {refusal}"));
            }
            for spelling in SPELLINGS {
                let answer = ask(&admin, &key, &name, &request.with(Some(place), spelling)).await;
                if answer != in_digits {
                    wrong.push(format!("{name}: {field} = {spelling}: {answer:?}, in digits {in_digits:?}"));
                }
                tried += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 200, "{tried}");
}

#[tokio::test]
async fn numbers_without_end_are_refused_and_take_neither_time_nor_memory() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let admin = shop.database.admin().await;
    let zeros = "0".repeat(500_000);
    for number in [
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "1.5e999999999",
        &format!("1e{zeros}9"),
        &format!("1{zeros}.0"),
        &format!("0.{zeros}1"),
    ] {
        let order = format!(r#"{{"platform":"claude","amount_cents":{number}}}"#);
        let reply = shop.client.post_text("/topup/send", order.clone()).await;
        assert!(matches!(reply.code(), 2000 | 2005), "{number:.40}: {}", reply.text);
        let (_, told) = ask(&admin, &shop.key, "send", &order).await;
        assert!(told.starts_with("2000") || told.starts_with("2005"), "{number:.40}: {told:.200}");
    }
    // What is long and whole is whole.
    let long = format!(r#"{{"platform":"claude","amount_cents":1000.{zeros}}}"#);
    assert_eq!(
        shop.client.post_text("/topup/send", long).await.expect(200, 1001).data()["amount_cents"],
        1000
    );
    assert_eq!(shop.database.top_ups().await, 1);
    shop.database.check().await;
}
