//! Who may come in: the cookie of a session, the token of a form, and where a form comes from.

use axum::http::{HeaderMap, HeaderValue, header};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use url::Url;

use super::PATH;

const COOKIE: &str = "topup_portal";
const TOKEN_LENGTH_MAX: usize = 64;
/// What a session's forms are signed for.
const PURPOSE: &[u8] = b"topup portal form";

/// What could be a token; anything else is not asked for.
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The session that the browser says it is in.
pub fn session(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, token)| *name == COOKIE && is_token(token)).map(|(_, token)| token.to_owned())
}

/// The cookie of a session, or the one that takes it away. It is Lax, not Strict: who comes from the shop is led on
/// by a redirect, and who comes back from a provider's checkout by a link, and neither would bring a Strict one.
pub fn cookie(session: Option<&str>, public_url: &str) -> HeaderValue {
    let secure = if is_https(public_url) { "; Secure" } else { "" };
    let (token, end) = session.map_or(("", "; Max-Age=0"), |token| (token, ""));
    let cookie = format!("{COOKIE}={token}; Path={PATH}; HttpOnly; SameSite=Lax{secure}{end}");
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

fn is_https(public_url: &str) -> bool {
    Url::parse(public_url).is_ok_and(|url| url.scheme() == "https")
}

/// What the forms of a session carry. Another site can neither read nor make it.
pub fn form_token(session: &str) -> String {
    signed(session).map(|mac| HEXLOWER.encode(&mac.finalize().into_bytes())).unwrap_or_default()
}

/// Whether a form carries what its session's forms do; compared in constant time.
pub fn is_form_token(session: &str, given: &str) -> bool {
    let Ok(given) = HEXLOWER.decode(given.as_bytes()) else { return false };
    signed(session).is_some_and(|mac| mac.verify_slice(&given).is_ok())
}

fn signed(session: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(session.as_bytes()).ok()?;
    mac.update(PURPOSE);
    Some(mac)
}

/// Whether a form was not sent by another site, as far as the browser tells. Under our own policy that nothing is
/// referred to, browsers say `Origin: null` of our own forms; then only the form's token speaks.
pub fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if matches!(text("sec-fetch-site"), Some("cross-site" | "same-site")) {
        return false;
    }
    let origin = match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        None | Some(Ok("null")) => return true,
        Some(Ok(origin)) => origin,
        Some(Err(_)) => return false,
    };
    let Ok(from) = Url::parse(origin) else { return false };
    let is_public = Url::parse(public_url).is_ok_and(|url| url.origin() == from.origin());
    let host = text("host").unwrap_or_default();
    is_public || origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let found = |lines: &[(&'static str, &str)]| session(&headers(lines));
        assert_eq!(found(&[("cookie", "a=b; topup_portal=Abc9; c=d")]).as_deref(), Some("Abc9"));
        assert_eq!(found(&[("cookie", "a=b"), ("cookie", "topup_portal=Abc9")]).as_deref(), Some("Abc9"));
        let long = format!("topup_portal={}", "a".repeat(65));
        for none in ["", "topup_portal=", "topup_portal=a'b", "xtopup_portal=abc", long.as_str()] {
            assert_eq!(found(&[("cookie", none)]), None, "{none}");
        }
    }

    #[test]
    fn the_cookie_is_secure_behind_tls_and_never_for_scripts() {
        let plain = cookie(Some("Abc"), "http://127.0.0.1:8080");
        assert_eq!(plain, "topup_portal=Abc; Path=/portal; HttpOnly; SameSite=Lax");
        let secure = cookie(Some("Abc"), "https://pay.example.com");
        assert_eq!(secure, "topup_portal=Abc; Path=/portal; HttpOnly; SameSite=Lax; Secure");
        assert!(cookie(None, "https://pay.example.com").to_str().unwrap().ends_with("; Max-Age=0"));
    }

    #[test]
    fn a_form_belongs_to_one_session() {
        let token = form_token("session");
        assert!(is_form_token("session", &token));
        let capital = token.to_uppercase();
        for wrong in ["", "00", &token[..62], capital.as_str(), "x"] {
            assert!(!is_form_token("session", wrong), "{wrong}");
        }
        assert!(!is_form_token("other", &token));
    }

    #[test]
    fn forms_of_other_sites_are_told_from_our_own() {
        let own = |pairs: &[(&'static str, &str)]| is_own(&headers(pairs), "https://pay.example.com/");
        assert!(own(&[("origin", "https://pay.example.com"), ("host", "10.0.0.7:8080")]));
        assert!(own(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        assert!(own(&[("origin", "null"), ("sec-fetch-site", "same-origin")]) && own(&[]));
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "https://pay.example.com.evil.example"),
            ("origin", "http://pay.example.com"),
            ("origin", "x"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!own(&[(name, value), ("host", "pay.example.com:8080")]), "{name}: {value}");
        }
    }
}
