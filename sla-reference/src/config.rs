//! What the operator computes: the scope of its linear branch, how many blocks are critical, the feature map, the blocks.
//!
//! Four switches tell the published variants of sparse-linear attention apart; see [`Scope`]. A [`Config`] can only be
//! made valid. It holds no sizes of a problem and no data: those are [`Dims`](super::Dims) and [`Inputs`](super::Inputs).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::forced::Forced;

/// Which key blocks the linear branch of a query block sums over. The softmax branch always takes the critical ones (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// The marginal blocks (0) only; negligible ones (-1) are left out altogether. The paper.
    #[default]
    Marginal,
    /// Every block that is not critical, 0 and -1 alike. The branch `SLA-1` of the released code.
    Complement,
    /// Every block, critical ones too. The branch `main` of the released code, and every published checkpoint.
    All,
    /// None: the sparse branch alone. The projection, its bias included, plays no part.
    None,
}

/// The feature map `phi` of the linear branch, applied to every token of `q` and `k` over the head dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FeatureMap {
    /// `softmax(x)`; `D' = D`.
    #[default]
    Softmax,
    /// `x + 1` where `x > 0`, `exp(x)` elsewhere; `D' = D`.
    Elu,
    /// `max(x, 0)`; `D' = D`.
    Relu,
    /// `[softmax(x W), softmax(-x W)]` with `W` `[H, D, D]` given as `phi_weight`, identity when absent; `D' = 2 D`.
    /// Gradients flow through it to `q` and `k`; `W` itself is not trained.
    Hedgehog,
}

macro_rules! names {
    ($type:ident, $what:literal, $($variant:ident = $name:literal),+) => {
        impl $type {
            /// Every value, in the order of the documentation.
            pub const EVERY: &'static [$type] = &[$($type::$variant),+];

            /// The name on the command line and in reports.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = ConfigError;

            fn from_str(name: &str) -> Result<Self, ConfigError> {
                let needed = concat!($("|", $name),+);
                $type::EVERY.iter().copied().find(|value| value.name() == name)
                    .ok_or_else(|| ConfigError::Name { what: $what, found: name.into(), needed: &needed[1..] })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
names!(Scope, "scope", Marginal = "marginal", Complement = "complement", All = "all", None = "none");
names!(FeatureMap, "phi", Softmax = "softmax", Elu = "elu", Relu = "relu", Hedgehog = "hedgehog");

impl FeatureMap {
    /// `D'`, the width of `phi(x)` for a head dimension of `head_dim`.
    pub fn width(self, head_dim: usize) -> usize {
        if self == FeatureMap::Hedgehog { 2 * head_dim } else { head_dim }
    }
}

/// Tokens a query block and a key block hold: 64/64, 128/64 or 128/128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Blocks {
    q: usize,
    k: usize,
}

impl Blocks {
    /// Every supported pair.
    pub const EVERY: [Blocks; 3] =
        [Blocks { q: 64, k: 64 }, Blocks { q: 128, k: 64 }, Blocks { q: 128, k: 128 }];

    /// `bq` and `bk`.
    ///
    /// # Errors
    /// [`ConfigError::Blocks`] unless the pair is one of [`Blocks::EVERY`].
    pub fn new(q: usize, k: usize) -> Result<Self, ConfigError> {
        let pair = Blocks { q, k };
        let found = || format!("{q},{k}");
        Self::EVERY.contains(&pair).then_some(pair).ok_or_else(|| ConfigError::Blocks { found: found() })
    }

    /// `bq`, tokens of a query block.
    pub fn q(&self) -> usize {
        self.q
    }

    /// `bk`, tokens of a key block.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Blocks of any positive size, for the reference's own tests: the kernels have the sizes of [`Blocks::EVERY`] only.
    #[cfg(test)]
    pub(crate) fn any(q: usize, k: usize) -> Self {
        Blocks { q, k }
    }
}

impl Default for Blocks {
    /// 128/64, what the released models are served with.
    fn default() -> Self {
        Blocks { q: 128, k: 64 }
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.q, self.k)
    }
}

impl FromStr for Blocks {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let pair =
            text.split_once(',').and_then(|(q, k)| Some((q.trim().parse().ok()?, k.trim().parse().ok()?)));
        let (q, k) = pair.ok_or_else(|| ConfigError::Blocks { found: text.into() })?;
        Blocks::new(q, k)
    }
}

/// A share of the key blocks of a row: a number in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Share(f64);

impl Share {
    /// # Errors
    /// [`ConfigError::Share`] when `value` is outside `[0, 1]` or is not a number.
    pub fn new(value: f64) -> Result<Self, ConfigError> {
        let valid = (0.0..=1.0).contains(&value);
        valid.then_some(Share(value)).ok_or_else(|| ConfigError::Share { found: value.to_string() })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// `floor(share * n)`, multiplied in float64 as the released code does.
    fn of(self, n: usize) -> usize {
        (self.0 * n as f64).floor() as usize
    }
}

impl FromStr for Share {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let share = text.parse().ok().and_then(|value| Share::new(value).ok());
        share.ok_or_else(|| ConfigError::Share { found: text.into() })
    }
}

/// How many blocks of a row the router makes critical and negligible; the rest of its `N` are marginal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Highest-scoring blocks, at least 1.
    pub critical: usize,
    /// Lowest-scoring blocks, at most `N - critical`.
    pub negligible: usize,
}

/// A valid configuration of the operator. Made by [`Config::new`] and the `with_` functions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    scope: Scope,
    critical: Share,
    negligible: Share,
    eps: f64,
    phi: FeatureMap,
    blocks: Blocks,
    forced: Forced,
}

impl Config {
    /// `eps` of scope `all` when none is given, as in the released code. Other scopes default to 0, as in the paper.
    pub const EPS_OF_ALL: f64 = 1e-5;

    /// A configuration with softmax features, 128/64 blocks and no forced blocks.
    pub fn new(scope: Scope, critical: Share, negligible: Share) -> Self {
        let eps = if scope == Scope::All { Self::EPS_OF_ALL } else { 0.0 };
        let (phi, blocks, forced) = (FeatureMap::default(), Blocks::default(), Forced::default());
        Config { scope, critical, negligible, eps, phi, blocks, forced }
    }

    /// Adds `eps` to the linear branch's denominator; `None` keeps the scope's default.
    ///
    /// # Errors
    /// [`ConfigError::Eps`] when `eps` is negative, infinite or not a number.
    pub fn with_eps(mut self, eps: Option<f64>) -> Result<Self, ConfigError> {
        if let Some(eps) = eps {
            if !(eps.is_finite() && eps >= 0.0) {
                return Err(ConfigError::Eps { found: eps.to_string() });
            }
            self.eps = eps;
        }
        Ok(self)
    }

    /// Takes another feature map.
    pub fn with_phi(self, phi: FeatureMap) -> Self {
        Config { phi, ..self }
    }

    /// Takes other blocks.
    pub fn with_blocks(self, blocks: Blocks) -> Self {
        Config { blocks, ..self }
    }

    /// Forces blocks into or out of every routed mask. A mask that the user gives is taken as it is.
    pub fn with_forced(self, forced: Forced) -> Self {
        Config { forced, ..self }
    }

    /// What the linear branch sums over.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Share of critical blocks.
    pub fn critical(&self) -> Share {
        self.critical
    }

    /// Share of negligible blocks; only scope `marginal` has such a class.
    pub fn negligible(&self) -> Share {
        self.negligible
    }

    /// What is added to the linear branch's denominator.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// The feature map.
    pub fn phi(&self) -> FeatureMap {
        self.phi
    }

    /// Tokens a block holds.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }

    /// Blocks forced in or out.
    pub fn forced(&self) -> &Forced {
        &self.forced
    }

    /// What the router selects in a row of `n` key blocks, `n >= 1`:
    /// critical is `max(1, floor(critical * n))`; negligible is `floor(negligible * n)` in scope `marginal` and 0 in the
    /// other scopes, which have no such class. When both do not fit, critical wins: negligible is cut to `n - critical`.
    pub fn counts(&self, n: usize) -> Counts {
        let critical = self.critical.of(n).clamp(1, n.max(1));
        let negligible = if self.scope == Scope::Marginal { self.negligible.of(n) } else { 0 };
        Counts { critical, negligible: negligible.min(n.saturating_sub(critical)) }
    }
}

impl Default for Config {
    /// The paper's settings: scope `marginal`, 5 % critical, 10 % negligible, softmax features; blocks of 128/64.
    fn default() -> Self {
        Config::new(Scope::Marginal, Share(0.05), Share(0.10))
    }
}

/// A setting that the operator does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A name that is none of the known ones.
    #[error("{what} is `{found}`, needed one of {needed}")]
    Name {
        /// The setting.
        what: &'static str,
        /// What was given.
        found: String,
        /// The known names.
        needed: &'static str,
    },
    /// A share outside `[0, 1]`.
    #[error("share is {found}, needed a number from 0 to 1")]
    Share {
        /// What was given.
        found: String,
    },
    /// A negative or non-finite `eps`.
    #[error("eps is {found}, needed a finite number of at least 0")]
    Eps {
        /// What was given.
        found: String,
    },
    /// A pair of block sizes that no kernel has.
    #[error("blocks are {found}, needed 64,64 or 128,64 or 128,128 (query tokens, key tokens)")]
    Blocks {
        /// What was given.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scope: Scope, critical: f64, negligible: f64) -> Config {
        Config::new(scope, Share::new(critical).unwrap(), Share::new(negligible).unwrap())
    }

    #[test]
    fn counts_are_floored_and_critical_is_never_below_one() {
        let paper = config(Scope::Marginal, 0.05, 0.10);
        assert_eq!(paper.counts(512), Counts { critical: 25, negligible: 51 });
        assert_eq!(paper.counts(7), Counts { critical: 1, negligible: 0 });
        assert_eq!(config(Scope::Marginal, 0.0, 0.0).counts(9), Counts { critical: 1, negligible: 0 });
        assert_eq!(config(Scope::Marginal, 1.0, 1.0).counts(9), Counts { critical: 9, negligible: 0 });
        assert_eq!(config(Scope::Marginal, 0.6, 0.6).counts(10), Counts { critical: 6, negligible: 4 });
        assert_eq!(config(Scope::Marginal, 0.05, 1.0).counts(1), Counts { critical: 1, negligible: 0 });
    }

    #[test]
    fn only_the_papers_scope_has_negligible_blocks() {
        for scope in [Scope::Complement, Scope::All, Scope::None] {
            assert_eq!(config(scope, 0.1, 0.5).counts(20), Counts { critical: 2, negligible: 0 });
        }
    }

    #[test]
    fn eps_defaults_by_scope() {
        for &scope in Scope::EVERY {
            let default = if scope == Scope::All { 1e-5 } else { 0.0 };
            assert_eq!(config(scope, 0.1, 0.1).with_eps(None).unwrap().eps(), default);
            assert_eq!(config(scope, 0.1, 0.1).with_eps(Some(0.5)).unwrap().eps(), 0.5);
        }
        assert!(matches!(config(Scope::All, 0.1, 0.1).with_eps(Some(-1.0)), Err(ConfigError::Eps { .. })));
        assert!(Config::default().with_eps(Some(f64::NAN)).is_err());
        assert!(Config::default().with_eps(Some(f64::INFINITY)).is_err());
    }

    #[test]
    fn names_round_trip_and_unknown_ones_list_the_known() {
        for scope in Scope::EVERY {
            assert_eq!(scope.to_string().parse::<Scope>().unwrap(), *scope);
        }
        for phi in FeatureMap::EVERY {
            assert_eq!(phi.to_string().parse::<FeatureMap>().unwrap(), *phi);
        }
        let error = "Softmax".parse::<FeatureMap>().unwrap_err();
        assert_eq!(error.to_string(), "phi is `Softmax`, needed one of softmax|elu|relu|hedgehog");
    }

    #[test]
    fn shares_and_blocks_are_checked() {
        for bad in ["-0.1", "1.01", "nan", "inf", "five", ""] {
            assert!(matches!(bad.parse::<Share>(), Err(ConfigError::Share { .. })), "{bad}");
        }
        for blocks in Blocks::EVERY {
            assert_eq!(blocks.to_string().parse::<Blocks>().unwrap(), blocks);
        }
        for bad in ["64,128", "128", "0,0", "128,64,64", "a,b", "-64,64"] {
            assert!(matches!(bad.parse::<Blocks>(), Err(ConfigError::Blocks { .. })), "{bad}");
        }
    }
}
