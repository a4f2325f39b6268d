//! The vocabulary: names that the language gives meaning to, and what to suggest for others.

/// Float constants.
pub const FLOATS: [&str; 3] = ["LOG2E", "LN2", "INF"];

/// Functions of one float, element by element; also methods.
pub const FLOAT_FUNCTIONS: [&str; 6] = ["exp2", "exp", "log2", "log", "sqrt", "rsqrt"];

/// Free functions, with their number of arguments and a form to show.
pub const FUNCTIONS: [(&str, usize, &str); 17] = [
    ("dot", 2, "dot(a, b)"),
    ("dot_acc", 3, "dot_acc(a, b, acc)"),
    ("exp2", 1, "exp2(x)"),
    ("exp", 1, "exp(x)"),
    ("log2", 1, "log2(x)"),
    ("log", 1, "log(x)"),
    ("sqrt", 1, "sqrt(x)"),
    ("rsqrt", 1, "rsqrt(x)"),
    ("abs", 1, "abs(x)"),
    ("fma", 3, "fma(a, b, c)"),
    ("maximum", 2, "maximum(a, b)"),
    ("minimum", 2, "minimum(a, b)"),
    ("select", 3, "select(condition, a, b)"),
    ("zeros", 1, "zeros::<f32>([M, N])"),
    ("full", 2, "full::<f32>([M, N], x)"),
    ("iota", 2, "iota([M, N], axis)"),
    ("cast", 1, "cast::<f32>(x)"),
];

/// Methods of tiles and scalars, with their number of arguments and a form to show.
pub const METHODS: [(&str, usize, &str); 23] = [
    ("t", 0, "x.t()"),
    ("exp2", 0, "x.exp2()"),
    ("exp", 0, "x.exp()"),
    ("log2", 0, "x.log2()"),
    ("log", 0, "x.log()"),
    ("sqrt", 0, "x.sqrt()"),
    ("rsqrt", 0, "x.rsqrt()"),
    ("abs", 0, "x.abs()"),
    ("maximum", 1, "x.maximum(y)"),
    ("minimum", 1, "x.minimum(y)"),
    ("sum", 1, "x.sum(axis)"),
    ("max", 1, "x.max(axis)"),
    ("min", 1, "x.min(axis)"),
    ("cast", 0, "x.cast::<f32>()"),
    ("reshape", 1, "x.reshape([M, N])"),
    ("broadcast", 1, "x.broadcast([M, N])"),
    ("unsqueeze", 1, "x.unsqueeze(axis)"),
    ("squeeze", 1, "x.squeeze(axis)"),
    ("pack", 1, "x.pack(keep)"),
    ("mask_tail", 3, "x.mask_tail(list, j, fill)"),
    ("mask_rows", 3, "x.mask_rows(list, j, fill)"),
    ("div_ceil", 1, "x.div_ceil(y)"),
    ("fma", 2, "x.fma(b, c)"),
];

/// What people write who come from elsewhere.
const FOREIGN: [(&str, &str); 21] = [
    ("transpose", "`x.t()`"),
    ("T", "`x.t()`"),
    ("matmul", "`dot(a, b)`"),
    ("mm", "`dot(a, b)`"),
    ("dot", "`dot(a, b)`"),
    ("relu", "`x.maximum(0.0)`"),
    ("clone", "`x`: tiles are values"),
    ("to", "`x.cast::<f32>()`"),
    ("into", "`x.cast::<f32>()`"),
    ("astype", "`x.cast::<f32>()`"),
    ("view", "`x.reshape([M, N])`"),
    ("expand", "`x.broadcast([M, N])`"),
    ("amax", "`x.max(axis)`"),
    ("amin", "`x.min(axis)`"),
    ("mean", "`x.sum(axis) / n`"),
    ("ln", "`x.log()`"),
    ("powf", "`exp2(y * x.log2())`"),
    ("powi", "a product"),
    ("recip", "`1.0 / x`"),
    ("mul_add", "`fma(a, b, c)`"),
    ("where_", "`select(c, a, b)`"),
];

/// A hint for a method that does not exist among `known`.
pub fn suggest(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    if let Some((_, hint)) = FOREIGN.iter().find(|(n, _)| *n == name) {
        return format!("; write {hint}");
    }
    let near = known.map(|k| (distance(name, k), k)).min().filter(|(d, k)| *d <= 2 && *d < k.len());
    near.map_or(String::new(), |(_, k)| format!("; did you mean `{k}`?"))
}

/// Edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
