//! The guide: the README and the pages of docs/, as HTML, part of this very binary.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::app::App;
use crate::html::policy;

const STYLE: &str = include_str!("../../templates/docs/guide.css");

/// Name in the address, file under the project's root, text.
const PAGES: &[(&str, &str, &str)] = &[
    ("contents", "docs/README.md", include_str!("../../../docs/README.md")),
    ("quickstart", "docs/quickstart.md", include_str!("../../../docs/quickstart.md")),
    ("api", "docs/api.md", include_str!("../../../docs/api.md")),
    ("mcp", "docs/mcp.md", include_str!("../../../docs/mcp.md")),
    ("webhooks", "docs/webhooks.md", include_str!("../../../docs/webhooks.md")),
    ("wallets", "docs/wallets.md", include_str!("../../../docs/wallets.md")),
    ("funding", "docs/funding.md", include_str!("../../../docs/funding.md")),
    ("operating", "docs/operating.md", include_str!("../../../docs/operating.md")),
    ("invariants", "docs/invariants.md", include_str!("../../../docs/invariants.md")),
    ("decisions", "docs/decisions.md", include_str!("../../../docs/decisions.md")),
    ("performance", "docs/performance.md", include_str!("../../../docs/performance.md")),
    ("glossary", "docs/glossary.md", include_str!("../../../docs/glossary.md")),
    ("readme", "README.md", include_str!("../../../README.md")),
];

const IMAGES: &[(&str, &[u8])] = &[
    ("portal.png", include_bytes!("../../../docs/portal.png")),
    ("checkout.png", include_bytes!("../../../docs/checkout.png")),
    ("checkout-phone.png", include_bytes!("../../../docs/checkout-phone.png")),
];

#[derive(Template)]
#[template(path = "docs/guide.html")]
struct Page<'a> {
    title: &'a str,
    style: &'a str,
    pages: &'a [(&'a str, String)],
    current: &'a str,
    body: &'a str,
}

static POLICY: LazyLock<HeaderValue> =
    LazyLock::new(|| policy(STYLE, "img-src 'self' data:; form-action 'none'"));

/// A route for each page and each picture. Any other path is unknown, as everywhere.
pub fn router() -> Router<Arc<App>> {
    let names: Vec<(&str, String)> =
        PAGES.iter().map(|(slug, _, text)| (*slug, short(title(text)).to_owned())).collect();
    let pages = PAGES.iter().fold(Router::new(), |router, (slug, file, text)| {
        let page = Page {
            title: title(text),
            style: STYLE,
            pages: &names,
            current: slug,
            body: &html_of(text, file.strip_suffix("README.md").unwrap_or("docs/")),
        };
        match page.render() {
            Ok(page) => router.route(&format!("/docs/{slug}"), get(async || sent(page))),
            Err(error) => {
                tracing::error!(%error, slug, "a page of the guide cannot be rendered");
                router
            }
        }
    });
    IMAGES.iter().fold(pages, |router, (name, image)| {
        let png = [
            (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        router.route(&format!("/docs/{name}"), get(async || (png, *image)))
    })
}

fn sent(page: String) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    ];
    (headers, Html(page))
}

/// The first heading.
fn title(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
}

/// A title as the navigation has it: what stands before a colon.
fn short(title: &str) -> &str {
    title.split(':').next().unwrap_or(title)
}

/// The page as HTML: headings have the anchors that links name, links lead to pages of this server, and those to files
/// that it does not serve are plain text. `folder` is where the page's own links begin.
fn html_of(markdown: &str, folder: &str) -> String {
    let slugs: HashMap<&str, &str> = PAGES.iter().map(|(slug, file, _)| (*file, *slug)).collect();
    let mut events: Vec<Event> = Parser::new_ext(markdown, Options::ENABLE_TABLES)
        .filter(
            |event| !matches!(event, Event::Html(html) | Event::InlineHtml(html) if html.starts_with("<!--")),
        )
        .collect();
    name_headings(&mut events);
    let mut is_link_served = true;
    let events = events.into_iter().filter_map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let served = served(&dest_url, folder, &slugs);
            is_link_served = served.is_some();
            served.map(|url| Event::Start(Tag::Link { link_type, dest_url: url.into(), title, id }))
        }
        Event::End(TagEnd::Link) => is_link_served.then_some(event),
        other => Some(other),
    });
    let mut page = String::new();
    html::push_html(&mut page, events);
    // A wide table is moved by itself, not with the page.
    page.replace("<table>", "<div class=\"table\"><table>").replace("</table>", "</table></div>")
}

/// Where a link of a page leads on this server; nothing where it leads to a file that is not served.
fn served(link: &str, folder: &str, slugs: &HashMap<&str, &str>) -> Option<String> {
    if link.starts_with("https://") || link.starts_with('#') || link.starts_with('/') {
        return Some(link.to_owned());
    }
    let (file, anchor) = link.split_once('#').map_or((link, ""), |(file, anchor)| (file, anchor));
    let file = match file.strip_prefix("../") {
        Some(above) => above.to_owned(),
        None => format!("{folder}{file}"),
    };
    let hash = if anchor.is_empty() { "" } else { "#" };
    slugs.get(file.as_str()).map(|slug| format!("/docs/{slug}{hash}{anchor}"))
}

/// Gives each heading the anchor that readers of Markdown give it: its words in small letters, with hyphens.
fn name_headings(events: &mut [Event]) {
    for at in 0..events.len() {
        if !matches!(events[at], Event::Start(Tag::Heading { .. })) {
            continue;
        }
        let words: String = events[at..]
            .iter()
            .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))))
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(text.to_lowercase()),
                _ => None,
            })
            .collect();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || "- ".contains(*c)).collect::<String>();
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(CowStr::from(kept.replace(' ', "-")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_of_this_server_and_headings_have_anchors() {
        let page = html_of(
            "## A `b`, c\n\n[x](api.md#codes) [y](../CONTRIBUTING.md) [z](https://example.com)\n",
            "docs/",
        );
        assert!(page.contains("<h2 id=\"a-b-c\">"), "{page}");
        assert!(page.contains("<a href=\"/docs/api#codes\">x</a>"), "{page}");
        assert!(page.contains(" y ") && page.contains("<a href=\"https://example.com\">z</a>"), "{page}");
    }

    #[test]
    fn comments_for_the_tests_are_not_shown() {
        for (slug, file, text) in PAGES {
            let page = html_of(text, file.strip_suffix("README.md").unwrap_or("docs/"));
            assert!(!page.contains("<!--"), "{slug}");
        }
    }
}
