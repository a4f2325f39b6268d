//! sla-runtime.
