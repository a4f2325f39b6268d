//! sla-dsl.
