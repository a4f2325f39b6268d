//! Launches by records of the caller's: what a program gives its kernels in place of a device.
//!
//! Whether a record still holds is asked in [`super::pick`](mod@super::pick).

use std::path::Path;
use std::sync::Mutex;

use sla_codegen::Target;
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Launcher};
use sla_runtime::{Device, RuntimeError};

use super::pick::{Decided, asked};
use super::record::{RecordError, Records};

/// A device whose launches are as records say: `doubled::<128>::launch(&Tuned::new(&device, records), &x, &mut y)`. A kernel without a record, or with one that
/// does not hold any more, which is told on standard error, runs with the constants that the launch names.
pub struct Tuned<'d> {
    device: &'d Device,
    records: Records,
    decided: Mutex<Decided>,
}

impl<'d> Tuned<'d> {
    /// A device with records.
    pub fn new(device: &'d Device, records: Records) -> Tuned<'d> {
        Tuned { device, records, decided: Mutex::default() }
    }

    /// A device with the records that a folder has for its architecture: `sm_90a.json` on an H100, `cpu.json` on the host. None where there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn read(device: &'d Device, folder: &Path) -> Result<Tuned<'d>, RecordError> {
        let arch = architecture(device);
        Ok(Tuned::new(device, Records::read(&Records::place(folder, &arch), &arch)?))
    }
}

/// The name of the architecture whose records a device takes.
pub fn architecture(device: &Device) -> String {
    device.target().map_or_else(|| "interp".to_owned(), |target: Target| target.to_string())
}

impl Launcher for Tuned<'_> {
    type Error = RuntimeError;

    fn launch(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
    ) -> Result<(), RuntimeError> {
        let entries = self.records.entries.iter().filter(|entry| entry.kernel == kernel.name);
        let choice = asked(&self.decided, self.device, kernel, consts, args, entries);
        match choice {
            Some(choice) => self.device.launch_with(kernel, &choice.0, args, &choice.1),
            None => self.device.launch(kernel, consts, args),
        }
    }
}
