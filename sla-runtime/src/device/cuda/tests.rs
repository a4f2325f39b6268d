//! The driver's side of a launch, on PTX written by hand. Without a GPU only the choice of architecture is tested.

use super::code::Code;
use super::*;
use crate::testing::gpu_or_skip;
use sla_codegen::{GpuImage, GridKind, TensorMap};
use sla_dsl::ir::Elem;
use sla_dsl::launch::{Space, TensorArg};

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
    GpuImage {
        entry: "scale".into(),
        ptx: SCALE.into(),
        threads: 64,
        shared_bytes,
        maps,
        queue: false,
        grid,
        log: None,
    }
}

fn load(context: &Arc<CudaContext>, image: &GpuImage) -> Result<CudaKernel, CudaError> {
    let params = ["x", "y", "scale", "offset", "stride"].map(String::from).to_vec();
    CudaKernel::load(context, "scale", params, image, Code::ptx(&image.ptx, None))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn stream() -> Option<Arc<CudaStream>> {
    gpu_or_skip("the driver").and_then(|d| d.cuda_memory().cloned())
}

#[test]
fn memory_is_zeroed_copied_and_freed() {
    let Some(stream) = stream() else { return };
    let context = stream.context();
    let mut back = vec![1u8; 1000];
    CudaMemory::zeroed(&stream, 1000).unwrap().read(0, &mut back).unwrap();
    assert_eq!(back, [0; 1000]);
    let data: Vec<u8> = (0..1000).map(|i| i as u8).collect();
    let memory = CudaMemory::copy_of(&stream, &data).unwrap();
    assert_eq!(memory.space(), Space::Cuda(0));
    assert_eq!(memory.address() % 256, 0);
    let before = context.meter().read();
    drop(CudaMemory::zeroed(&stream, 3000).unwrap());
    assert_eq!(context.meter().read().now, before.now);
    assert_eq!(context.meter().read().peak, before.peak.max(before.now + 3000));
    memory.read(7, &mut back[..900]).unwrap();
    assert_eq!(back[..900], data[7..907]);
    CudaMemory::copy_of(&stream, &[]).unwrap().read(0, &mut []).unwrap();
    // Far more in all than any GPU has, unless it is freed.
    for _ in 0..300 {
        CudaMemory::zeroed(&stream, 2 << 30).unwrap();
    }
    let e = CudaMemory::zeroed(&stream, 1 << 45).err().unwrap();
    assert!(matches!(e, CudaError::OutOfMemory { .. }), "{e}");
    assert!(e.to_string().starts_with("no memory for 35184372088832 bytes on cuda:0, "), "{e}");
}

#[test]
fn a_kernel_gets_its_arguments_and_shared_memory() {
    let Some(stream) = stream() else { return };
    let context = stream.context();
    for shared in [256, 100 * 1024] {
        let kernel = load(context, &image(shared)).unwrap();
        let input: Vec<u8> = (0..192).flat_map(|i| (i as f32).to_ne_bytes()).collect();
        let x = CudaMemory::copy_of(&stream, &input).unwrap();
        let y = CudaMemory::zeroed(&stream, input.len()).unwrap();
        let scale = 0.5f32.to_bits() as u64;
        let mut slots = [x.address() as u64, y.address() as u64, scale, -3i64 as u64, 1];
        // SAFETY: both tensors have a place for each of 3 * 64 threads.
        unsafe { kernel.launch(&stream, &kernel.layout(&stream, 3, &[]).unwrap(), &mut slots, &[]) }.unwrap();
        drop(x);
        let mut back = vec![0; input.len()];
        y.read(0, &mut back).unwrap();
        let expected: Vec<f32> = (0..192).map(|i| i as f32 * 0.5 - 3.0).collect();
        assert_eq!(floats(&back), expected);
    }
}

#[test]
fn a_persistent_grid_has_as_many_blocks_as_there_is_room_and_work() {
    let persistent = |per_sm| GridKind::Persistent { per_sm };
    assert_eq!(module::blocks(GridKind::Programs, 100_000, 132), 100_000);
    assert_eq!(module::blocks(persistent(1), 100_000, 132), 132);
    assert_eq!(module::blocks(persistent(2), 200, 132), 200);
    assert_eq!(module::blocks(persistent(0), 200, 132), 1);
    assert_eq!(module::blocks(persistent(u32::MAX), 7, 132), 7);
}

#[test]
fn what_does_not_fit_or_load_is_an_error() {
    let Some(stream) = stream() else { return };
    let context = stream.context();
    let text = |image: &GpuImage| load(context, image).err().unwrap().to_string();
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
    let Some(stream) = stream() else { return };
    let start = Event::new(&stream).unwrap();
    let memory = CudaMemory::zeroed(&stream, 1 << 30).unwrap();
    let time = start.elapsed().unwrap();
    drop(memory);
    assert!(!time.is_zero() && time.as_secs() < 10, "{time:?}");
}

/// Fetches 8 rows of 64 halves, from row 2 on, by a tensor map, and stores what lies in shared memory as it is.
const FETCH: &str = "
.version 8.0
.target sm_90
.address_size 64
.extern .shared .align 1024 .b8 buffer[];
.visible .entry fetch(.param .u64 y, .param .align 64 .b8 map[128]) {
    .reg .b64 %rd<9>;
    .reg .b32 %r<9>;
    .reg .pred %p<3>;
    ld.param.u64 %rd1, [y];
    mov.b64 %rd2, map;
    cvta.param.u64 %rd2, %rd2;
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, buffer;
    add.u32 %r3, %r2, 1024;
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra READY;
    mbarrier.init.shared.b64 [%r3], 1;
    fence.mbarrier_init.release.cluster;
    fence.proxy.async.shared::cta;
    mbarrier.arrive.expect_tx.shared.b64 %rd3, [%r3], 1024;
    mov.u32 %r4, 0;
    mov.u32 %r5, 2;
    cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%rd2, {%r4, %r5}], [%r3];
READY:
    bar.sync 0;
AGAIN:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0;
    @!%p2 bra AGAIN;
    shl.b32 %r6, %r1, 2;
    add.u32 %r7, %r2, %r6;
    ld.shared.u32 %r8, [%r7];
    cvt.u64.u32 %rd4, %r6;
    add.u64 %rd5, %rd1, %rd4;
    st.global.u32 [%rd5], %r8;
    ret;
}
";

#[test]
fn a_tensor_map_gives_swizzled_rows_and_zeros_outside() {
    let Some(stream) = stream() else { return };
    let context = stream.context();
    if context.capability().0 < 9 {
        eprintln!("skipped: {} has no tensor maps", context.name());
        return;
    }
    let image = GpuImage {
        entry: "fetch".into(),
        ptx: FETCH.into(),
        threads: 256,
        shared_bytes: 2048,
        maps: vec![TensorMap { param: 1, extents: vec![8, 64] }],
        queue: false,
        grid: GridKind::Persistent { per_sm: 1 },
        log: None,
    };
    let params = vec!["y".to_string(), "x".to_string()];
    let kernel = CudaKernel::load(context, "fetch", params, &image, Code::ptx(&image.ptx, None)).unwrap();
    // Five rows of 64, each 16 halves apart from the next.
    let data: Vec<u8> = (0..5 * 80u16).flat_map(u16::to_ne_bytes).collect();
    let x = CudaMemory::copy_of(&stream, &data).unwrap();
    let y = CudaMemory::zeroed(&stream, 1024).unwrap();
    let args = |offset: usize| {
        // SAFETY: five rows of the allocation, and 256 numbers of the other.
        let tensor = |elem, shape: &[usize], strides: &[i64], address, mutable| unsafe {
            Arg::Tensor(TensorArg::from_raw(elem, shape, strides, address, Space::Cuda(0), mutable))
        };
        [
            tensor(Elem::I32, &[256], &[1], y.address(), true),
            tensor(Elem::F16, &[5, 64], &[80, 1], x.address() + offset, false),
        ]
    };
    let mut slots = [y.address() as u64];
    let layout = kernel.layout(&stream, 1, &args(0)).unwrap();
    // Elsewhere first, then twice, the second time with the map of the first.
    for offset in [16, 0, 0] {
        // SAFETY: the kernel writes 1024 bytes of `y`.
        unsafe { kernel.launch(&stream, &layout, &mut slots, &args(offset)) }.unwrap();
    }
    let mut back = vec![0; 1024];
    y.read(0, &mut back).unwrap();
    for (place, found) in back.chunks_exact(2).enumerate() {
        let (row, chunk, half) = (place / 64, (place % 64) / 8, place % 8);
        let column = (chunk ^ (row % 8)) * 8 + half;
        let needed = if row < 3 { ((row + 2) * 80 + column) as u16 } else { 0 };
        assert_eq!(u16::from_ne_bytes([found[0], found[1]]), needed, "row {row}, column {column}");
    }
    let e = kernel.layout(&stream, 1, &args(2)).err().unwrap().to_string();
    assert!(e.starts_with("fetch: 'x' cannot have a tensor map: its address 0x"), "{e}");
    assert_eq!(kernel.resources().unwrap().maps, 1);
}
