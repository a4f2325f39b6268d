//! Numbers of texts that are the same on every machine, for names of files and for what records depend on. No protection against anybody.

/// FNV-1a of a text, as 16 digits.
pub fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
