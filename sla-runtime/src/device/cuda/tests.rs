//! The driver's side of a launch, on PTX written by hand. Without a GPU only the choice of architecture is tested.

use super::*;
use crate::testing::gpu_or_skip;
use sla_codegen::{GpuImage, GridKind};
use sla_dsl::launch::Space;

#[test]
fn architectures() {
    assert_eq!(arch(7, 5), None);
    assert_eq!(arch(8, 6), Some(Arch::Sm80));
    assert_eq!(arch(8, 9), Some(Arch::Sm89));
    assert_eq!(arch(9, 0), Some(Arch::Sm90a));
    assert_eq!(arch(10, 3), Some(Arch::Sm80));
    assert_eq!(arch(12, 0), Some(Arch::Sm120a));
}

/// `y[program * threads + thread] = scale * x[...] + offset`, through dynamic shared memory.
const SCALE: &str = "
.version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 buffer[];
.visible .entry scale(.param .u64 x, .param .u64 y, .param .f32 scale, .param .u32 offset, .param .u64 stride) {
    .reg .b64 %rd<9>;
    .reg .b32 %r<9>;
    .reg .f32 %f<9>;
    ld.param.u64 %rd1, [x];
    ld.param.u64 %rd2, [y];
    ld.param.f32 %f1, [scale];
    ld.param.s32 %r1, [offset];
    ld.param.u64 %rd3, [stride];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r5, %r2, %r3, %r4;
    cvt.u64.u32 %rd4, %r5;
    mul.lo.u64 %rd4, %rd4, %rd3;
    shl.b64 %rd4, %rd4, 2;
    add.u64 %rd5, %rd1, %rd4;
    ld.global.f32 %f2, [%rd5];
    shl.b32 %r6, %r4, 2;
    mov.u32 %r7, buffer;
    add.u32 %r6, %r6, %r7;
    st.shared.f32 [%r6], %f2;
    ld.shared.f32 %f3, [%r6];
    cvt.rn.f32.s32 %f4, %r1;
    fma.rn.f32 %f5, %f3, %f1, %f4;
    add.u64 %rd6, %rd2, %rd4;
    st.global.f32 [%rd6], %f5;
    ret;
}
";

fn image(shared_bytes: u32) -> GpuImage {
    let (maps, grid) = (Vec::new(), GridKind::Programs);
    GpuImage { entry: "scale".into(), ptx: SCALE.into(), threads: 64, shared_bytes, maps, grid }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn context() -> Option<Arc<CudaContext>> {
    gpu_or_skip("the driver").and_then(|d| d.cuda_context().cloned())
}

#[test]
fn memory_is_zeroed_copied_and_freed() {
    let Some(context) = context() else { return };
    let mut back = vec![1u8; 1000];
    CudaMemory::zeroed(&context, 1000).unwrap().read(0, &mut back).unwrap();
    assert_eq!(back, [0; 1000]);
    let data: Vec<u8> = (0..1000).map(|i| i as u8).collect();
    let memory = CudaMemory::copy_of(&context, &data).unwrap();
    assert_eq!(memory.space(), Space::Cuda(0));
    assert_eq!(memory.address() % 256, 0);
    memory.read(7, &mut back[..900]).unwrap();
    assert_eq!(back[..900], data[7..907]);
    CudaMemory::copy_of(&context, &[]).unwrap().read(0, &mut []).unwrap();
    // Far more in all than any GPU has, unless it is freed.
    for _ in 0..300 {
        CudaMemory::zeroed(&context, 2 << 30).unwrap();
    }
    let e = CudaMemory::zeroed(&context, 1 << 45).err().unwrap();
    assert!(matches!(e, CudaError::OutOfMemory { .. }), "{e}");
    assert!(e.to_string().starts_with("no memory for 35184372088832 bytes on cuda:0, "), "{e}");
}

#[test]
fn a_kernel_gets_its_arguments_and_shared_memory() {
    let Some(context) = context() else { return };
    for shared in [256, 100 * 1024] {
        let kernel = CudaKernel::load(&context, "scale", &image(shared)).unwrap();
        let input: Vec<u8> = (0..192).flat_map(|i| (i as f32).to_ne_bytes()).collect();
        let x = CudaMemory::copy_of(&context, &input).unwrap();
        let y = CudaMemory::zeroed(&context, input.len()).unwrap();
        let scale = 0.5f32.to_bits() as u64;
        let mut slots = [x.address() as u64, y.address() as u64, scale, -3i64 as u64, 1];
        // SAFETY: both tensors have a place for each of 3 * 64 threads.
        unsafe { kernel.launch(3, &mut slots) }.unwrap();
        drop(x);
        let mut back = vec![0; input.len()];
        y.read(0, &mut back).unwrap();
        let expected: Vec<f32> = (0..192).map(|i| i as f32 * 0.5 - 3.0).collect();
        assert_eq!(floats(&back), expected);
    }
}

#[test]
fn what_does_not_fit_or_load_is_an_error() {
    let Some(context) = context() else { return };
    let text = |image: &GpuImage| CudaKernel::load(&context, "scale", image).err().unwrap().to_string();
    let e = text(&image(1 << 20));
    assert!(e.starts_with("scale: a program needs 1048576 bytes of shared memory, cuda:0 has "), "{e}");
    let e = text(&GpuImage { threads: 2048, ..image(256) });
    assert!(e.starts_with("scale: a program has 2048 threads, with "), "{e}");
    let e = text(&GpuImage { entry: "other".into(), ..image(256) });
    assert!(e.contains("no entry `other`"), "{e}");
    let e = text(&GpuImage { ptx: SCALE.replace("ld.global", "ld.nowhere"), ..image(256) });
    assert!(
        e.contains("the driver does not load the code") && e.contains("Unknown modifier '.nowhere'"),
        "{e}"
    );
}

#[test]
fn time_passes_between_events() {
    let Some(context) = context() else { return };
    let start = context.event().unwrap();
    let memory = CudaMemory::zeroed(&context, 1 << 30).unwrap();
    let time = start.elapsed().unwrap();
    drop(memory);
    assert!(!time.is_zero() && time.as_secs() < 10, "{time:?}");
}
