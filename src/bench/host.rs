//! What the host is, for records of measurements made on it.

/// The processor's name as Linux gives it; `unknown` elsewhere.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, n)| n.trim()));
    name.unwrap_or("unknown").to_string()
}
