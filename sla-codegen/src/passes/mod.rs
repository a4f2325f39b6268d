//! Passes on tile IR: free functions, one a file. Their order is in [`crate::pipeline`].
