//! Memory of this process and of the machine, where the system tells.

use std::fs::read_to_string;

/// Largest resident memory so far, in MiB.
pub fn peak_mib() -> Option<u64> {
    Some(kib(&read_to_string("/proc/self/status").ok()?, "VmHWM:")? / 1024)
}

/// Bytes that programs can still have before others are pushed out: what the machine has left, or less where a limit (of control groups)
/// is set for this process.
pub fn available() -> Option<u64> {
    let left = kib(&read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?.saturating_mul(1024);
    let limit = read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Some(left.min(limit.unwrap_or(u64::MAX)))
}

/// The figure of a line of the system's reports.
fn kib(report: &str, name: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::kib;

    #[test]
    fn figures_of_reports_are_found_by_their_names() {
        let report = "MemTotal:       24684000 kB\nMemAvailable:   22837000 kB\n";
        assert_eq!(kib(report, "MemAvailable:"), Some(22_837_000));
        assert_eq!(kib(report, "VmHWM:"), None);
        assert_eq!(kib("VmHWM:\n", "VmHWM:"), None);
    }
}
