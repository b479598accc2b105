//! A client generated from /openapi.json by a generator that is not ours has every operation, and works.

use crate::support::{Shop, place, python};
use serde_json::json;

const GENERATE: &str = r#"
import json, os, pathlib, shutil, subprocess, sys

given = json.load(sys.stdin)
place = pathlib.Path(given["place"])
shutil.rmtree(place, ignore_errors=True)
place.mkdir(parents=True)
(place / "openapi.json").write_text(json.dumps(given["document"]))
tools = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(place / "openapi.json"),
           "--output-path", str(place / "generated"), "--meta", "none", "--fail-on-warning"]
done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": tools})
said = done.stdout + done.stderr
assert done.returncode == 0 and "warning" not in said.lower(), said
names = {path.stem for path in (place / "generated" / "api").glob("*/*.py")} - {"__init__"}
assert names == set(given["operations"]), names ^ set(given["operations"])

sys.path.insert(0, str(place))
from generated import AuthenticatedClient
from generated.api.customers_and_wallets import customer_create
from generated.api.top_ups import balance
from generated.models import CustomerCreateRequest

client = AuthenticatedClient(base_url=given["url"], token=given["key"])
print(balance.sync(client=client).data.balance_cents)
print(customer_create.sync(client=client, body=CustomerCreateRequest(name="Ann")).id.split("_")[0])
print(customer_create.sync(client=client, body=CustomerCreateRequest(name="")).status)
"#;

#[tokio::test]
async fn a_generated_python_client_has_every_operation_and_works() {
    let shop = Shop::open().await;
    let operations: Vec<_> = shop.operations().await.iter().map(|row| row["name"].clone()).collect();
    let place = place::target().join(format!("generated-client-{}", std::process::id()));
    let given = json!({
        "document": shop.client.at_root().get("/openapi.json").await.json, "operations": operations,
        "place": place.to_str().unwrap(), "url": shop.gateway.url, "key": shop.key,
    });
    assert_eq!(python(GENERATE, &given.to_string()), "100000\ncust\n422\n");
    std::fs::remove_dir_all(place).unwrap();
}
