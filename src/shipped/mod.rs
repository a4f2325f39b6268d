//! The kernels of the operator, compiled before: what a library without a compiler runs on NVIDIA GPUs.
//!
//! [`plan`] says which they are, by going through forwards and backwards of problems of many sizes on a device that notes what is launched. `cargo xtask bundle`
//! compiles them into this folder; with the feature `compile` off, what is there when the library is built is part of it, and [`bundles`] has it. With a
//! compiler nothing of this is used.

mod plan;

use sla_runtime::bundle::Bundle;
use sla_runtime::{Device, DeviceName};
use std::io::Write;
use std::sync::{Arc, OnceLock};

pub use plan::{Settings, plan};

/// What the build found; nothing where there is a compiler.
static EMBEDDED: &[&[u8]] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The embedded bundles; none in a library that has a compiler. One that does not open, which a build from damaged files has, is told of once.
pub fn bundles() -> &'static [Arc<Bundle>] {
    static BUNDLES: OnceLock<Vec<Arc<Bundle>>> = OnceLock::new();
    let open = |bytes: &&'static [u8]| match Bundle::open(*bytes) {
        Ok(bundle) => Some(Arc::new(bundle)),
        Err(e) => {
            // A closed stream is no reason to stop; who needs its kernels is told that they are missing.
            let _ = writeln!(std::io::stderr(), "warning: embedded kernels are not used: {e}");
            None
        }
    };
    BUNDLES.get_or_init(|| EMBEDDED.iter().filter_map(open).collect())
}

/// A GPU that has the embedded kernels; any other device as it is.
pub(crate) fn equipped(device: &Device) -> Device {
    match device.name() {
        DeviceName::Cuda(_) => bundles().iter().fold(device.clone(), |d, b| d.with_bundle(b.clone())),
        _ => device.clone(),
    }
}
