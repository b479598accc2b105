//! How an operation answers over HTTP.

/// The shape of an operation's replies, as the column `surface` of the catalog names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    /// Six fields, always all six.
    #[default]
    Envelope,
    /// Credyt's: the data alone; refusals as RFC 7807 problems.
    Credyt,
    /// Cloudflare's: a result with success, errors and messages.
    Cloudflare,
    /// A text of the operation's media type, alone; refusals as RFC 7807 problems.
    Document,
}

impl ResponseFormat {
    /// The format of that name in the catalog; none where this gateway does not know it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "envelope" => Some(ResponseFormat::Envelope),
            "credyt" => Some(ResponseFormat::Credyt),
            "cloudflare" => Some(ResponseFormat::Cloudflare),
            "document" => Some(ResponseFormat::Document),
            _ => None,
        }
    }

    /// Whether refusals are RFC 7807 problems.
    pub fn has_problems(self) -> bool {
        matches!(self, ResponseFormat::Credyt | ResponseFormat::Document)
    }
}
