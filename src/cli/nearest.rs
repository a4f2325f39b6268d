//! "Did you mean": the known name that is nearest to one that is not.

/// `; did you mean ...?` if one of the names is so near that it was probably meant, otherwise nothing.
pub fn hint<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    // Of two as near, the one that only has more letters.
    let near = names.into_iter().map(|name| (distance(found, name), !name.starts_with(found), name)).min();
    match near {
        Some((edits, _, name)) if edits <= name.chars().count().div_ceil(3) => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// Letters to insert, remove or replace until one is the other; capitals count as small letters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("PTX", "ptx", 0)] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let names = ["flash_fwd", "sla_fwd", "matmul"];
        assert_eq!(hint("flash_fw", names), "; did you mean `flash_fwd`?");
        assert_eq!(hint("mat_mul", names), "; did you mean `matmul`?");
        assert_eq!(hint("convolution", names), "");
        assert_eq!(hint("sm_90", ["sm_80", "sm_90a"]), "; did you mean `sm_90a`?");
        assert_eq!(hint("x", []), "");
    }
}
