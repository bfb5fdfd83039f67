//! Sizes of memory: how they are written, and how much a job may take where nobody says.

use std::fs;

/// Half of what this machine, or the control group that we are in, has: the other half is the application's.
#[must_use]
pub fn default_limit_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total_bytes(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_limit_bytes(&text));
    machine.into_iter().chain(group).min().unwrap_or(u64::MAX) / 2
}

fn mem_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of our control group (version 2) and those above it.
fn group_limit_bytes(membership: &str) -> Option<u64> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut limit = None;
    let mut path = Some(path);
    while let Some(group) = path {
        let read = fs::read_to_string(format!("/sys/fs/cgroup/{group}/memory.max")).ok();
        let bytes = read.and_then(|text| text.trim().parse::<u64>().ok());
        limit = [limit, bytes].into_iter().flatten().min();
        path =
            if group.is_empty() { None } else { Some(group.rsplit_once('/').map_or("", |(above, _)| above)) };
    }
    limit
}

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
    fn there_is_always_a_limit() {
        assert_eq!(mem_total_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(group_limit_bytes("0::/no/such/group\n"), None);
        let limit = default_limit_bytes();
        assert!(limit > 1 << 20, "{limit}");
    }
}
