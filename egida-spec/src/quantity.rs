//! Numbers with units and quoted texts: the values of parameters, read and printed.

use crate::protocol::ParamValue;

/// Units of time, in nanoseconds, the largest first.
const DURATIONS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size, in bytes, in the order in which the printer tries them.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// More digits than any time or size has; so that the arithmetic below stays exact in 128 bits.
const MAX_DIGITS: usize = 20;

/// `2`, `30 s`, `1.5 GiB`.
///
/// # Errors
/// Says what is wrong: an unknown unit, a number too large, or a fraction finer than the unit's smallest part.
pub fn parse(number: &str, unit: Option<&str>) -> Result<ParamValue, String> {
    let too_large = || "this number is too large".to_owned();
    let Some(unit) = unit else {
        if number.contains('.') {
            return Err("a count is a whole number".to_owned());
        }
        return number.parse().map(ParamValue::Count).map_err(|_| too_large());
    };
    let known = |units: &[(&'static str, u64)]| {
        units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| u128::from(*factor))
    };
    let (factor, is_time) = match (known(&DURATIONS), known(&SIZES)) {
        (Some(factor), _) => (factor, true),
        (None, Some(factor)) => (factor, false),
        (None, None) => return Err(format!("there is no unit `{unit}`")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
    if digits.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS {
        return Err(too_large());
    }
    let digits: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| too_large())? };
    let scaled = digits.checked_mul(factor).ok_or_else(too_large)?;
    let divisor = fraction.bytes().fold(1_u128, |divisor, _| divisor.saturating_mul(10));
    if scaled % divisor != 0 {
        let part = if is_time { "nanosecond" } else { "byte" };
        return Err(format!("this is no whole number of {part}s"));
    }
    let value = u64::try_from(scaled / divisor).map_err(|_| too_large())?;
    Ok(if is_time { ParamValue::DurationNs(value) } else { ParamValue::SizeBytes(value) })
}

/// The value as text that [`parse`], [`unquote`] or the words' normal form give back.
#[must_use]
pub fn print(value: &ParamValue) -> String {
    match value {
        ParamValue::Count(count) => count.to_string(),
        ParamValue::DurationNs(ns) => with_largest_unit(*ns, &DURATIONS, "s"),
        ParamValue::SizeBytes(bytes) => with_largest_unit(*bytes, &SIZES, "B"),
        ParamValue::Text(text) => quote(text),
        ParamValue::Words(words) => words.clone(),
    }
}

fn with_largest_unit(value: u64, units: &[(&str, u64)], of_zero: &str) -> String {
    match units.iter().find(|(_, factor)| value.is_multiple_of(*factor)) {
        Some((unit, factor)) if value > 0 => format!("{} {unit}", value / factor),
        _ => format!("{value} {of_zero}"),
    }
}

/// The text in quotes, on one line.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:X}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The text without its quotes and escapes.
///
/// # Errors
/// Names the escape that the language does not have.
pub fn unquote(quoted: &str) -> Result<String, String> {
    let inner = quoted.strip_prefix('"').unwrap_or(quoted);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some(c @ ('"' | '\\')) => text.push(c),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let rest = chars.as_str();
                let digits =
                    rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(digits, _)| digits);
                let c = digits
                    .filter(|digits| digits.len() <= 6)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32)
                    .ok_or("`\\u` takes a character's number, for example `\\u{1F980}`")?;
                text.push(c);
                let length = digits.map_or(0, str::len) + 2;
                chars = rest.get(length..).unwrap_or_default().chars();
            }
            Some(c) => return Err(format!("there is no escape `\\{c}`")),
            None => return Err("a backslash escapes the character behind it".to_owned()),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_whatever_their_capitals() {
        assert_eq!(parse("30", Some("s")), Ok(ParamValue::DurationNs(30_000_000_000)));
        assert_eq!(parse("1.5", Some("min")), Ok(ParamValue::DurationNs(90_000_000_000)));
        assert_eq!(parse("256", Some("mib")), Ok(ParamValue::SizeBytes(256 << 20)));
        assert_eq!(parse("4", Some("KB")), Ok(ParamValue::SizeBytes(4_000)));
        assert_eq!(parse("7", None), Ok(ParamValue::Count(7)));
    }

    #[test]
    fn refuses_what_has_no_exact_value() {
        assert!(parse("1.5", None).is_err());
        assert!(parse("0.5", Some("ns")).is_err());
        assert!(parse("0.3", Some("B")).is_err());
        assert!(parse("18446744073709551616", None).is_err());
        assert!(parse("18446744073709551615", Some("h")).is_err());
        assert!(parse(&"9".repeat(400), Some("s")).is_err());
        assert_eq!(parse("3", Some("weeks")), Err("there is no unit `weeks`".to_owned()));
    }

    #[test]
    fn quotes_and_back() {
        for text in ["", "a b", "\"\\", "line\nline\r\ttab", "\u{7}\u{1F980}\u{85}"] {
            assert_eq!(unquote(&quote(text)).as_deref(), Ok(text));
        }
        assert!(unquote(r#""\q""#).is_err());
        assert!(unquote(r#""\u{D800}""#).is_err());
        assert!(unquote(r#""\u{}""#).is_err());
    }
}
