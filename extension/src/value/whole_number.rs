//! Whole numbers, however a client writes them: `1000.0` and `1e3` are 1000 wherever a whole number is wanted.

use std::borrow::Cow;

use serde_json::Error;
use serde_json::error::Category;

/// Digits of the largest whole number that any field takes, and room for one that is refused as out of range.
const DIGITS_MAX: usize = 24;
/// How much text is read again, over all rounds, for the numbers of one request.
const READ_BYTES_MAX: usize = 64 * 1_048_576;

/// Reads a request; where a whole number is wanted and one stands there in another spelling, its digits are written
/// in its place and the request is read again. Digits move only as text, so no number passes through a binary float.
/// A request in the usual spelling is read once.
pub fn read<T, E>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    cause: impl Fn(&E) -> &Error,
) -> Result<T, (Cow<'_, str>, E)> {
    let mut text = Cow::Borrowed(text);
    let mut bytes_left = READ_BYTES_MAX;
    loop {
        let error = match parse(&text) {
            Ok(request) => return Ok(request),
            Err(error) => error,
        };
        bytes_left = bytes_left.saturating_sub(text.len());
        match respelt(&text, cause(&error)) {
            Some(next) if bytes_left > 0 => text = Cow::Owned(next),
            _ => return Err((text, error)),
        }
    }
}

/// The text with the number that an error is about in digits; nothing where it is about anything else.
fn respelt(text: &str, error: &Error) -> Option<String> {
    if error.classify() != Category::Data {
        return None;
    }
    let (start, end) = number_before(text, offset(text, error)?)?;
    let digits = digits(&text[start..end])?;
    Some([&text[..start], &digits, &text[end..]].concat())
}

/// The byte at which an error was noticed.
fn offset(text: &str, error: &Error) -> Option<usize> {
    let line = error.line().checked_sub(1)?;
    let start = match line {
        0 => 0,
        _ => text.match_indices('\n').nth(line - 1)?.0 + 1,
    };
    Some(start + error.column()).filter(|offset| *offset <= text.len())
}

/// Where the number begins and ends that a reader has just passed.
fn number_before(text: &str, offset: usize) -> Option<(usize, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let (before, after) = text.as_bytes().split_at(offset);
    let start = offset - before.iter().rev().take_while(|byte| is_part(byte)).count();
    let end = offset + after.iter().take_while(|byte| is_part(byte)).count();
    // What begins with a letter is a word, and what ends a text is in quotes.
    let is_number = matches!(text.as_bytes().get(start), Some(b'-' | b'0'..=b'9'));
    (is_number && start < offset).then_some((start, end))
}

/// A whole number in digits; nothing for one that is in digits already, is no whole number, or is too long.
fn digits(number: &str) -> Option<String> {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return (number != "0").then(|| "0".to_owned());
    }
    let dropped = all.len() - all.trim_end_matches('0').len();
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_add(i64::try_from(dropped).ok()? - i64::try_from(fraction.len()).ok()?)?;
    let zeros = usize::try_from(zeros).ok().filter(|zeros| significant.len() + zeros <= DIGITS_MAX)?;
    let digits = format!("{sign}{significant}{}", "0".repeat(zeros));
    (digits != number).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn a_whole_number_has_one_spelling() {
        for (number, written) in [
            ("1000.0", "1000"),
            ("1e3", "1000"),
            ("1E+3", "1000"),
            ("1000e0", "1000"),
            ("0.1e4", "1000"),
            ("100000e-2", "1000"),
            ("1000.000000000000000000000000000000", "1000"),
            ("-1.5e1", "-15"),
            ("9007199254740993.0", "9007199254740993"),
            ("9223372036854775807.000", "9223372036854775807"),
            ("0.0", "0"),
            ("0e400", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
        ] {
            assert_eq!(digits(number).as_deref(), Some(written), "{number}");
        }
        let long = format!("1{}", "0".repeat(100_000));
        for other in
            ["1000", "0", "-7", "1.5", "1e-1", "0.1", "1e400", "1e99999999999999999999", "", "-", ".", "e1"]
        {
            assert_eq!(digits(other), None, "{other}");
        }
        assert_eq!(digits(&long), None);
        assert_eq!(digits(&format!("1e{long}")), None);
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        count: i64,
        sizes: Option<Vec<u8>>,
        name: Option<String>,
    }

    fn sample(text: &str) -> Result<Sample, String> {
        read(text, |text| serde_json::from_str(text), |error| error).map_err(|(_, error)| error.to_string())
    }

    #[test]
    fn every_whole_number_of_a_request_is_read_and_nothing_else_changes() {
        for text in [
            r#"{"count":1e1,"sizes":[1.0,2e0,3],"name":"1e1"}"#,
            "{\n \"name\": \"1e1\",\n\n \"sizes\": [ 1.0 , 2.00,3],\n \"count\"\n:10.0}",
            r#"{"other":1.0,"count":10.0e0,"sizes":[1,0.2e1,3],"name":"1e1"}"#,
        ] {
            let read = Sample { count: 10, sizes: Some(vec![1, 2, 3]), name: Some("1e1".to_owned()) };
            assert_eq!(sample(text), Ok(read), "{text}");
        }
        for text in [
            r#"{"count":1.5}"#,
            r#"{"count":"1.0"}"#,
            r#"{"count":1,"name":1.0}"#,
            r#"{"count":1,"sizes":[2.56e2]}"#,
            r#"{"count":1e19}"#,
            r#"{"count":1e400}"#,
            r#"{"count":-e}"#,
            r#"{"count":1.0,"count":1.0}"#,
        ] {
            assert!(sample(text).is_err(), "{text}");
        }
        let many = vec!["1.0"; 2000].join(",");
        assert_eq!(sample(&format!(r#"{{"count":0,"sizes":[{many}]}}"#)).unwrap().sizes, Some(vec![1; 2000]));
    }
}
