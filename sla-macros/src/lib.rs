//! The attribute macros of the tile language.
