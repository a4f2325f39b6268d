//! sla-codegen.
