//! Sizes and times as they are written on a command line.

use std::time::Duration;

/// Reads a size: `4096`, `64k`, `256 MiB`, `1.5G`. A letter alone and one with `iB` stand for powers of 1024, one with `B`
/// for powers of 1000.
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size, such as `256MiB` or `4G`");
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let unit = unit.trim().to_lowercase();
    let (prefix, base) = match unit.as_str() {
        "" | "b" => return Ok(number as u64),
        unit => match unit.strip_suffix("ib") {
            Some(prefix) => (prefix, 1024.0_f64),
            None => match unit.strip_suffix('b') {
                Some(prefix) => (prefix, 1000.0),
                None => (unit, 1024.0),
            },
        },
    };
    let power = ["k", "m", "g", "t"].iter().position(|known| *known == prefix).ok_or_else(bad)?;
    Ok((number * base.powi(i32::try_from(power).unwrap_or_default() + 1)) as u64)
}

/// Reads a time: `300ms`, `1.5s`, `2min`, `1h`.
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a time, such as `300ms` or `1.5s`");
    let unit_at = text.find(|c: char| c.is_alphabetic()).ok_or_else(bad)?;
    let (amount, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let amount: f64 = amount.trim().parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(amount * seconds).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64k"), Ok(65536));
        assert_eq!(parse_size("256 MiB"), Ok(256 << 20));
        assert_eq!(parse_size("1.5G"), Ok(3 << 29));
        assert_eq!(parse_size("2kB"), Ok(2000));
        for wrong in ["", "much", "5 bananas", "-3k"] {
            assert!(parse_size(wrong).unwrap_err().contains("256MiB"), "{wrong}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2min"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "-1s", "infs", "3 weeks", "s"] {
            assert!(parse_duration(wrong).unwrap_err().contains("300ms"), "{wrong}");
        }
    }
}
