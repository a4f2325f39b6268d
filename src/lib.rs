//! Sparse-linear attention.
