//! Codes of vouchers: made at random, and found however somebody types them.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::reply::Failure;

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

/// The code of ours that was meant, if one was: letter case, dashes and spaces do not matter, and a letter that the
/// alphabet leaves out stands for the digit that looks like it.
pub fn meant(typed: &str) -> Option<String> {
    let plain: String = typed
        .chars()
        .filter(|symbol| *symbol != '-' && !symbol.is_whitespace())
        .map(|symbol| symbol.to_ascii_uppercase())
        .collect();
    let symbols = plain.strip_prefix(PREFIX)?.replace('O', "0").replace(['I', 'L'], "1");
    let is_code = symbols.len() == SYMBOLS && symbols.bytes().all(|symbol| symbol.is_ascii_alphanumeric());
    is_code.then(|| written(&symbols))
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
        for typed in [code, "atu0123456789ablcod", " ATU 0123 4567 89AB IC0D ", "Atu-o1234567-89ab-1C0D"] {
            assert_eq!(meant(typed).as_deref(), Some(code), "{typed}");
        }
        for typed in ["", "ATU", "ATU-0123-4567-89AB-1C0", "0123-4567-89AB-1C0D", "ATU-0123-4567-89AB-1C0é"]
        {
            assert_eq!(meant(typed), None, "{typed}");
        }
        let made = new_code().unwrap();
        assert_eq!(meant(&made), Some(made));
    }
}
