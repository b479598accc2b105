//! Codes of vouchers: made at random, and found however somebody types them.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::value::reply::Failure;

const PREFIX: &str = "ATU";
const BYTES: usize = 10;
const SYMBOLS: usize = 16;

/// Crockford's base 32: no I, L, O or U.
static CROCKFORD: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.encoding().ok()
});

/// A new code of 80 random bits: `ATU-XXXX-XXXX-XXXX-XXXX`.
pub fn new_code() -> Result<String, Failure> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(|error| Failure::Fault(error.to_string()))?;
    let alphabet = CROCKFORD.as_ref().ok_or_else(|| Failure::Fault("no voucher alphabet".to_owned()))?;
    Ok(written(&alphabet.encode(&random)))
}

/// The codes that somebody may mean who typed this, the likeliest first: the text itself, the same without what writing
/// and copying adds to it, and the code of ours that it looks like.
pub fn candidates(typed: &str) -> [Option<String>; 3] {
    [Some(typed.trim().to_owned()), Some(plain(typed)), meant(typed)]
}

/// The code of ours that was meant, if one was: only letters and digits count, a letter's case and width do not, and a
/// letter that the alphabet leaves out stands for the digit that looks like it.
fn meant(typed: &str) -> Option<String> {
    let all = plain(typed);
    let letters: String = all.chars().filter(|symbol| symbol.is_alphanumeric()).collect();
    let symbols = letters.to_ascii_uppercase();
    let symbols = symbols.strip_prefix(PREFIX)?.replace('O', "0").replace(['I', 'L'], "1");
    let is_code = symbols.len() == SYMBOLS && symbols.bytes().all(|symbol| symbol.is_ascii_alphanumeric());
    is_code.then(|| written(&symbols))
}

/// A text as a keyboard writes it: full-width characters are plain ones, each dash is a hyphen, and neither quotes around
/// it nor what cannot be seen is part of it.
fn plain(typed: &str) -> String {
    let seen = typed.chars().filter(|symbol| !is_unseen(*symbol));
    let text: String = seen
        .map(|symbol| match symbol {
            _ if is_dash(symbol) => '-',
            // The full-width forms of the visible ASCII characters, in its order.
            '\u{ff01}'..='\u{ff5e}' => {
                char::from_u32(u32::from(symbol) - 0xff01 + u32::from('!')).unwrap_or(symbol)
            }
            _ if symbol.is_whitespace() => ' ',
            _ => symbol,
        })
        .collect();
    text.trim_matches(|symbol: char| symbol == ' ' || is_quote(symbol)).to_owned()
}

/// Hyphens, dashes and minus signs of every kind, and the long vowel sign that stands on their key in Japan.
fn is_dash(symbol: char) -> bool {
    matches!(
        symbol,
        '-' | '\u{58a}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{207b}'
                | '\u{208b}'
                | '\u{2212}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{30fc}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{ff70}'
    )
}

/// Quotation marks, straight, curly and angular, and what is taken for them.
fn is_quote(symbol: char) -> bool {
    matches!(symbol,
        '"' | '\'' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2032}'..='\u{2037}'
        | '\u{2039}' | '\u{203a}' | '\u{300c}'..='\u{300f}' | '\u{301d}'..='\u{301f}')
}

/// Control characters, soft hyphens, joiners and other characters without width, marks of direction, byte order marks.
fn is_unseen(symbol: char) -> bool {
    symbol.is_control() && !symbol.is_whitespace()
        || matches!(symbol,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

fn written(symbols: &str) -> String {
    let groups: Vec<&str> =
        (0..symbols.len()).step_by(4).filter_map(|start| symbols.get(start..start + 4)).collect();
    format!("{PREFIX}-{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_four_groups_of_four_symbols() {
        let code = new_code().unwrap();
        assert_eq!(code.len(), "ATU-XXXX-XXXX-XXXX-XXXX".len());
        assert!(code.strip_prefix("ATU-").unwrap().chars().all(|symbol| symbol == '-'
            || symbol.is_ascii_digit()
            || symbol.is_ascii_uppercase() && !"ILOU".contains(symbol)));
        assert_ne!(code, new_code().unwrap());
    }

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let code = "ATU-0123-4567-89AB-1C0D";
        for typed in [
            code,
            "atu0123456789ablcod",
            " ATU 0123 4567 89AB IC0D ",
            "Atu-o1234567-89ab-1C0D",
            "ATU\u{2013}0123\u{2014}4567\u{2212}89AB\u{2011}1C0D",
            "ATU\u{ff0d}0123\u{30fc}4567\u{fe63}89AB\u{2010}1C0D",
            "\u{feff}ATU-0123-\u{200b}4567-89AB\u{ad}-1C0D\u{200e}",
            "ATU\u{a0}0123\u{2009}4567\u{3000}89AB\t1C0D\r\n",
            "\u{ff21}\u{ff34}\u{ff35}-\u{ff10}123-4567-89\u{ff41}B-1C0D",
            "\"ATU-0123-4567-89AB-1C0D\"",
            "'ATU-0123-4567-89AB-1C0D'",
            "\u{201c}ATU-0123-4567-89AB-1C0D\u{201d}",
            "\u{201e}ATU-0123-4567-89AB-1C0D\u{201c}",
            "\u{ab}\u{a0}ATU-0123-4567-89AB-1C0D\u{a0}\u{bb}",
            "\u{ff02}ATU-0123-4567-89AB-1C0D\u{ff02}",
            "(ATU-0123-4567-89AB-1C0D).",
        ] {
            assert_eq!(meant(typed).as_deref(), Some(code), "{typed:?}");
        }
        for typed in [
            "",
            "ATU",
            "ATU-0123-4567-89AB-1C0",
            "0123-4567-89AB-1C0D",
            "ATU-0123-4567-89AB-1C0\u{e9}",
            "ATU-0123-4567-89AB-1C0D5",
            "code ATU-0123-4567-89AB-1C0D",
        ] {
            assert_eq!(meant(typed), None, "{typed:?}");
        }
        let made = new_code().unwrap();
        assert_eq!(meant(&made), Some(made));
    }

    #[test]
    fn a_platforms_own_code_is_found_without_what_copying_adds() {
        for typed in [
            "gift-A1_b2",
            " gift-A1_b2\n",
            "\u{201c}gift\u{2013}A1_b2\u{201d}",
            "\u{feff}gift-\u{200b}A1_b2",
            "\u{ff47}ift-A1\u{ff3f}b2",
        ] {
            assert!(candidates(typed).contains(&Some("gift-A1_b2".to_owned())), "{typed:?}");
        }
        // What was meant to the letter comes first, whatever else it looks like.
        assert_eq!(candidates("'quoted'")[0].as_deref(), Some("'quoted'"));
        assert!(!candidates("GIFT-a1_B2").contains(&Some("gift-A1_b2".to_owned())));
    }
}
