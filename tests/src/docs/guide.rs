//! The pages as a running gateway serves them, beside the API reference.

use crate::support::{Client, Database, Gateway};
use std::collections::BTreeSet;

#[tokio::test]
async fn every_page_is_served_and_every_link_on_it_leads_somewhere() {
    let database = Database::new().await;
    let gateway = Gateway::start(&database).await;
    let root = gateway.stranger().at_root();
    let mut waiting = vec!["/docs/contents".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(address) = waiting.pop() {
        let (path, anchor) = address.split_once('#').unwrap_or((&address, ""));
        let page = root.get(path).await.expect_status(200);
        let is_png = path.ends_with(".png");
        let content_type = page.header("content-type").unwrap();
        assert!(
            content_type.starts_with(if is_png { "image/png" } else { "text/html" }),
            "{path}: {content_type}"
        );
        assert!(anchor.is_empty() || page.text.contains(&format!("id=\"{anchor}\"")), "{address}");
        if !seen.insert(address.clone()) || is_png || path == "/docs" {
            continue;
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        waiting.extend(links(&page.text, path).into_iter().filter(|link| !seen.contains(link)));
    }
    let pages: Vec<&String> = seen.iter().filter(|address| !address.contains(['#', '.'])).collect();
    assert_eq!(pages.len(), 14, "{pages:?}");
    assert!(seen.iter().any(|address| address.ends_with(".png")), "{seen:?}");
}

/// What a page links to and shows, of this server.
fn links(page: &str, path: &str) -> Vec<String> {
    let of = |mark: &str| -> Vec<String> {
        page.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let mut found: Vec<String> = of("href=\"")
        .into_iter()
        .filter(|link| !link.starts_with("https://") && !link.starts_with("data:"))
        .map(|link| if link.starts_with('#') { format!("{path}{link}") } else { link })
        .collect();
    found.extend(of("src=\"").into_iter().map(|image| format!("/docs/{image}")));
    found
}

#[tokio::test]
async fn an_unknown_page_is_unknown_as_every_path_is() {
    let database = Database::new().await;
    let gateway = Gateway::start(&database).await;
    let root: Client = gateway.stranger().at_root();
    root.get("/docs/nothing").await.expect(404, 4000);
    root.get("/docs/../README.md").await.expect(404, 4000);
}
