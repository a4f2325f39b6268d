//! Whole kernels without mistakes: the checker says nothing.

use super::expect;

#[test]
fn flash_attention() {
    expect(
        "#[kernel(
            dims(B, H, LQ, LK),
            require(D % 16 == 0),
            grid(m in LQ.div_ceil(BM), h in H, b in B),
        )]
        pub fn flash_fwd<T: Float, const BM: usize, const BN: usize, const D: usize, const CAUSAL: bool>(
            q: &Tensor<T, { [B, H, LQ, D] }>,
            k: &Tensor<T, { [B, H, LK, D] }>,
            v: &Tensor<T, { [B, H, LK, D] }>,
            out: &mut Tensor<T, { [B, H, LQ, D] }>,
            lse: &mut Tensor<f32, { [B, H, LQ] }>,
            scale: f32,
        ) {
            let q = q.at(b, h).block::<BM>(m).load();
            let k = k.at(b, h).blocks::<BN>();
            let v = v.at(b, h).blocks::<BN>();
            let mut acc = zeros::<f32>([BM, D]);
            let mut st = OnlineSoftmax::new(BM);
            for j in 0..k.len() {
                let s = dot(q, k[j].t()) * (scale * LOG2E);
                let s = s.mask_tail(k, j, -INF);
                let s = if CAUSAL { mask_causal(s, m * BM, j * BN) } else { s };
                let (p, alpha) = st.step(s);
                acc = acc * alpha + dot(p.cast::<T>(), v[j]);
            }
            let (inv, l2) = st.finish();
            out.at(b, h).block::<BM>(m).store((acc * inv).cast::<T>());
            lse.at(b, h).block::<BM>(m).store(l2.squeeze(1));
        }",
        &[],
    );
}

#[test]
fn causal_mask() {
    expect(
        "#[func]
        fn mask_causal<const M: usize, const N: usize>(s: Tile<f32, { [M, N] }>, row0: i32, col0: i32) -> Tile<f32, { [M, N] }> {
            select(iota([M, 1], 0) + row0 >= iota([1, N], 1) + col0, s, -INF)
        }",
        &[],
    );
}

#[test]
fn online_softmax() {
    expect(
        "#[func]
        impl<const M: usize> OnlineSoftmax<M> {
            pub fn new(rows: usize) -> Self {
                OnlineSoftmax { m: full::<f32>([rows, 1], -INF), l: zeros::<f32>([rows, 1]) }
            }
            pub fn step<const N: usize>(&mut self, s: Tile<f32, { [M, N] }>) -> (Tile<f32, { [M, N] }>, Tile<f32, { [M, 1] }>) {
                let mx = maximum(self.m, s.max(1));
                let safe = select(mx == -INF, 0.0, mx);
                let p = exp2(s - safe);
                let alpha = exp2(self.m - safe);
                self.l = self.l * alpha + p.sum(1);
                self.m = mx;
                (p, alpha)
            }
        }",
        &[],
    );
}

#[test]
fn block_sparse_lists() {
    expect(
        "#[kernel(dims(B, H, L, NQ, TOPK), grid(m in NQ, h in H, b in B))]
        fn sparse<T: Float, const BQ: usize, const BK: usize, const D: usize>(
            q: &Tensor<T, { [B, H, L, D] }>,
            k: &Tensor<T, { [B, H, L, D] }>,
            lut: &Tensor<i32, { [B, H, NQ, TOPK] }>,
            count: &Tensor<i32, { [B, H, NQ] }>,
            out: &mut Tensor<f32, { [B, H, L] }>,
            hist: &mut Tensor<i32, { [L.div_ceil(BQ) * 2] }>,
        ) {
            let n = count.at(b, h, m).load();
            let q = q.at(b, h).block::<BQ>(m).load();
            let k = k.at(b, h).blocks::<BK>();
            let mut mx = full::<f32>([BQ, 1], -INF);
            let mut seen = 0;
            for j in lut.at(b, h, m).gather(n) {
                let s = dot(q, k[j].t()).mask_tail(k, j, -INF);
                mx = mx.maximum(s.max(1));
                if j * BK < L && n > 0 {
                    seen += 1;
                    hist.at(j).atomic_add(1);
                }
            }
            out.at(b, h).block::<BQ>(m).store(mx.squeeze(1) * seen.cast::<f32>());
        }",
        &[],
    );
}
