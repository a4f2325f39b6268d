//! What ptxas says of a kernel, as numbers.

/// Resources of one kernel and remarks on it. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Registers per thread.
    pub registers: u32,
    /// Static shared memory per block of threads.
    pub shared: u32,
    /// Stack per thread; with spills, where they go.
    pub stack: u32,
    /// Spilled stores per thread.
    pub spill_stores: u32,
    /// Spilled loads per thread.
    pub spill_loads: u32,
    /// Warnings, and notes that carry a code such as C7510.
    pub notes: Vec<String>,
}

impl Report {
    /// Reads what `ptxas -v` prints. Of several functions the largest numbers count. What is not understood is left out.
    pub fn parse(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            if line.contains("(C7") || line.contains("warning") {
                report.notes.push(line.trim().to_string());
            }
            let message = line.split_once(" : ").map_or(line, |(_, m)| m);
            for part in message.split(',') {
                let words: Vec<&str> = part.split_whitespace().skip_while(|w| !is_number(w)).collect();
                let Some((number, what)) = words.split_first() else { continue };
                let Ok(number) = number.parse::<u32>() else { continue };
                let place = match what {
                    ["registers", ..] => &mut report.registers,
                    ["bytes", "smem", ..] => &mut report.shared,
                    ["bytes", "stack", "frame", ..] => &mut report.stack,
                    ["bytes", "spill", "stores", ..] => &mut report.spill_stores,
                    ["bytes", "spill", "loads", ..] => &mut report.spill_loads,
                    _ => continue,
                };
                *place = number.max(*place);
            }
        }
        report
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_notes() {
        let text = "\
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'k' for 'sm_90a'
ptxas info    : Function properties for k
    24 bytes stack frame, 20 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem, 384 bytes cmem[0]
";
        let r = Report::parse(text);
        assert_eq!((r.registers, r.shared, r.stack, r.spill_stores, r.spill_loads), (168, 1024, 24, 20, 16));
        assert_eq!(r.notes.len(), 1);
        assert!(r.notes[0].contains("C7510"));
    }

    #[test]
    fn strange_text_is_no_report() {
        assert_eq!(Report::parse("99999999999 registers, \n , 1 : 2 bytes"), Report::default());
    }
}
