//! How much memory a job may take where nobody says.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_limit() {
        assert_eq!(mem_total_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(group_limit_bytes("0::/no/such/group\n"), None);
        let limit = default_limit_bytes();
        assert!(limit > 1 << 20, "{limit}");
    }
}
