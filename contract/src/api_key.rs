//! What an API key looks like, and what is said of one that is not good.

/// What whoever brings no good key is told.
pub const WRONG_API_KEY: &str = "The API key is missing, wrong or revoked.";

const PREFIXES: [&str; 2] = ["ak_staging_", "ak_live_"];
/// 32 random bytes in base 62 have 43 digits, give or take leading zeros.
const SECRET_LENGTH_MIN: usize = 32;
const SECRET_LENGTH_MAX: usize = 64;

/// Whether a text could be a key. One that could not is refused without a look into the database.
pub fn is_api_key(text: &str) -> bool {
    let secret = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
    secret.is_some_and(|secret| {
        (SECRET_LENGTH_MIN..=SECRET_LENGTH_MAX).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_from_what_cannot_be_one() {
        let secret = "0fzA".repeat(11);
        for prefix in PREFIXES {
            assert!(is_api_key(&format!("{prefix}{secret}")));
            assert!(!is_api_key(&format!("{prefix}{secret}-")) && !is_api_key(&format!(" {prefix}{secret}")));
        }
        let long = format!("ak_live_{}", "a".repeat(65));
        for text in
            ["", "ak_live_", "ak_live_guess", "ak_test_0fzA0fzA0fzA0fzA0fzA0fzA0fzA0fzA", &secret, &long]
        {
            assert!(!is_api_key(text), "{text}");
        }
    }
}
