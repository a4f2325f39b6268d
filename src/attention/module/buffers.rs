//! The memory of a call: tensors by name, which a later call of the same shapes finds again.

use crate::attention::config::Config;
use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};

/// Tensors that a call takes and gives back. What is taken holds anything, and is for a kernel to write.
///
/// A name has one tensor, so that calls of one shape work at the same addresses; one that somebody else still shares is left to him.
#[derive(Debug)]
pub(super) struct Buffers {
    device: Device,
    free: Vec<(&'static str, DynTensor)>,
    /// Tensors that are made on the host, and depend on nothing but their shape and the configuration.
    fixed: Vec<(&'static str, DynTensor)>,
    config: Option<Config>,
    /// Whether tensors that come back are kept for a later call.
    keeps: bool,
    /// Tensors that were allocated.
    made: usize,
}

impl Buffers {
    /// Memory of many calls.
    pub fn new(device: &Device) -> Buffers {
        let (free, fixed) = (Vec::new(), Vec::new());
        Buffers { device: device.clone(), free, fixed, config: None, keeps: true, made: 0 }
    }

    /// Memory of a single call, which frees at once what comes back.
    pub fn once(device: &Device) -> Buffers {
        Buffers { keeps: false, ..Buffers::new(device) }
    }

    /// Forgets what depends on another configuration.
    pub fn serve(&mut self, config: &Config) {
        if self.config.as_ref() != Some(config) {
            self.fixed.clear();
            self.config = Some(config.clone());
        }
    }

    /// A tensor to write, under a name of which there is one in a call.
    pub fn take(
        &mut self,
        name: &'static str,
        elem: Elem,
        shape: &[usize],
    ) -> Result<DynTensor, RuntimeError> {
        if let Some(at) = self.free.iter().position(|(known, _)| *known == name) {
            let (_, tensor) = self.free.swap_remove(at);
            if tensor.elem() == elem && tensor.count() == shape.iter().product::<usize>() {
                return Ok(tensor.reshape(shape)?);
            }
        }
        self.made += 1;
        DynTensor::empty(&self.device, elem, shape)
    }

    /// How many tensors were allocated.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Takes a tensor back: frees it, or keeps it unless it is a view of a part or shared.
    pub fn give(&mut self, name: &'static str, tensor: DynTensor) {
        if self.keeps && tensor.is_whole() {
            self.free.retain(|(known, _)| *known != name);
            self.free.push((name, tensor));
        }
    }

    /// A tensor to read, of the bytes that `make` gives.
    pub fn fixed(
        &mut self,
        name: &'static str,
        elem: Elem,
        shape: &[usize],
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<DynTensor, RuntimeError> {
        self.known(name, elem, shape, |device| DynTensor::from_bytes(device, elem, shape, &make()))
    }

    /// Zeros to read.
    pub fn zeros(
        &mut self,
        name: &'static str,
        elem: Elem,
        shape: &[usize],
    ) -> Result<DynTensor, RuntimeError> {
        self.known(name, elem, shape, |device| DynTensor::zeros(device, elem, shape))
    }

    /// A tensor that a kernel takes and leaves alone.
    pub fn unread(
        &mut self,
        name: &'static str,
        elem: Elem,
        shape: &[usize],
    ) -> Result<DynTensor, RuntimeError> {
        self.known(name, elem, shape, |device| DynTensor::empty(device, elem, shape))
    }

    fn known(
        &mut self,
        name: &'static str,
        elem: Elem,
        shape: &[usize],
        make: impl FnOnce(&Device) -> Result<DynTensor, RuntimeError>,
    ) -> Result<DynTensor, RuntimeError> {
        let same = |t: &DynTensor| t.elem() == elem && t.shape() == shape;
        if let Some((_, known)) = self.fixed.iter().find(|(n, t)| *n == name && same(t)) {
            return Ok(known.clone());
        }
        self.fixed.retain(|(known, _)| *known != name);
        self.made += 1;
        let made = make(&self.device)?;
        self.fixed.push((name, made.clone()));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_finds_its_tensor_again_unless_it_is_shared_or_of_another_size() {
        let mut buffers = Buffers::new(&Device::interp());
        let address = |t: &DynTensor| t.lend().address();
        let first = buffers.take("x", Elem::F32, &[2, 3]).unwrap();
        let at = address(&first);
        buffers.give("x", first);
        let again = buffers.take("x", Elem::F32, &[6]).unwrap();
        assert_eq!((address(&again), again.shape()), (at, &[6][..]));
        let kept = again.clone();
        buffers.give("x", again);
        let other = buffers.take("x", Elem::F32, &[6]).unwrap();
        assert_ne!(address(&other), address(&kept));
        buffers.give("x", other);
        assert_eq!(buffers.take("x", Elem::F32, &[7]).unwrap().shape(), [7]);
    }

    #[test]
    fn fixed_tensors_are_made_once_for_a_shape_and_a_configuration() {
        let mut buffers = Buffers::new(&Device::interp());
        let mut made = 0;
        let mut get = |buffers: &mut Buffers, n: usize| {
            buffers.fixed("x", Elem::I8, &[n], || {
                made += 1;
                vec![made as u8; n]
            })
        };
        buffers.serve(&Config::default());
        assert_eq!(get(&mut buffers, 2).unwrap().to_bytes().unwrap(), [1, 1]);
        buffers.serve(&Config::default());
        assert_eq!(get(&mut buffers, 2).unwrap().to_bytes().unwrap(), [1, 1]);
        assert_eq!(get(&mut buffers, 3).unwrap().to_bytes().unwrap(), [2, 2, 2]);
        buffers.serve(&Config::default().with_eps(Some(0.25)).unwrap());
        assert_eq!(get(&mut buffers, 3).unwrap().to_bytes().unwrap(), [3, 3, 3]);
    }
}
