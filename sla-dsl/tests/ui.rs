//! What a person sees who makes a mistake: one file a rule, with the compiler's words beside it.
//!
//! After a change of words, `TRYBUILD=overwrite cargo test -p sla-dsl --test ui` writes the new ones.

#[test]
fn mistakes_are_told_on_their_tokens() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
