//! The decoder of every family: embeddings, a stack of causal blocks, a norm.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use peft_core::{Adaptable, AdaptedEmbedding, AdaptedLinear, Pass};
use peft_kernels::KeyRanges;

use crate::causal_batch::{CausalBatch, Text};
use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::error::ModelError;
use crate::hf::WeightReader;
use crate::layers::{
    AttentionContext, DecoderBlock, Heads, LayerCache, Norm, Rotation, decoder_norm, with_tokens,
};

/// Path of the output layer, under whose name files may hold the word table that serves as one.
pub(crate) const OUTPUT_LAYER: &str = "lm_head";

/// Keys and values of every layer so far, for generation: a forward with a cache reads only what is new.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// Segment of every token so far, row by row.
    segments: Vec<Vec<u32>>,
    /// Every token so far, in the pieces in which they came, shape `[batch, seq]` each.
    ids: Vec<Tensor<2, Int>>,
    /// Length of the longest text so far.
    longest: usize,
}

/// A causal transformer.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Shape `[vocab, d_model]`.
    pub words: AdaptedEmbedding,
    /// Shape `[max_positions, d_model]`, in families without rotary positions.
    pub positions: Option<AdaptedEmbedding>,
    /// One after the other.
    pub blocks: Vec<DecoderBlock>,
    /// After the last block.
    pub norm: Norm,
    #[module(skip)]
    config: DecoderConfig,
}

impl Decoder {
    /// Reads the decoder; `base` goes before every name (`model.` in a model with a head, nothing in a bare one).
    #[must_use]
    pub fn load(
        reader: &mut WeightReader,
        base: &str,
        family: &DecoderFamily,
        config: &DecoderConfig,
    ) -> Self {
        let d = config.d_model;
        let table = format!("{base}{}", family.words);
        let words = if config.tied {
            reader.embedding_or(&table, OUTPUT_LAYER, config.vocab_size, d)
        } else {
            reader.embedding(&table, config.vocab_size, d)
        };
        let positions = family
            .positions
            .map(|name| reader.embedding(&format!("{base}{name}"), config.max_positions, d));
        let blocks = (0..config.layers)
            .map(|index| {
                let path = format!("{base}{}.{index}", family.blocks);
                DecoderBlock::load(reader, &path, family, config)
            })
            .collect();
        Self {
            words,
            positions,
            blocks,
            norm: decoder_norm(reader, &format!("{base}{}", family.norm), family, config),
            config: config.clone(),
        }
    }

    /// Sizes and options.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Texts to be read together, in the layout that is fastest on a device: one behind the other in a row where attention leaves out what a
    /// text does not see, so that nothing is computed on padding; else a row each.
    ///
    /// # Errors
    /// As [`CausalBatch::right_padded`].
    pub fn batch(&self, texts: &[Text<'_>], device: &Device) -> Result<CausalBatch, ModelError> {
        match Heads::of(&self.config).skip_unseen_keys(device) {
            true => CausalBatch::in_one_row(texts, device),
            false => CausalBatch::right_padded(texts, device),
        }
    }

    /// Whether the model has a row for every id and position of the batch; call it before the first forward of data that nobody
    /// has checked.
    ///
    /// # Errors
    /// [`ModelError::OutOfRange`].
    pub fn check(&self, batch: &CausalBatch) -> Result<(), ModelError> {
        let limits = [
            ("token id", batch.largest_id, self.config.vocab_size - 1),
            (
                "sequence length",
                batch.longest(),
                self.config.max_positions,
            ),
        ];
        match limits.into_iter().find(|(_, found, limit)| found > limit) {
            Some((what, found, limit)) => Err(ModelError::OutOfRange { what, found, limit }),
            None => Ok(()),
        }
    }

    /// Hidden states after the last norm, shape `[batch, seq, d_model]`; those of padding hold no information.
    ///
    /// With a cache, the batch continues what the cache has seen, row by row. Where texts grow beyond the length at which rotary positions
    /// change, everything is read once more, since the keys of the cache are turned by the old ones.
    ///
    /// # Panics
    /// When the batch does not pass [`Decoder::check`].
    #[must_use]
    pub fn hidden(
        &self,
        batch: &CausalBatch,
        cache: Option<&mut KvCache>,
        pass: &mut Pass<'_>,
    ) -> Tensor<3> {
        let Some(cache) = cache else {
            return self.read(batch, None, pass);
        };
        let (seen, longest) = (cache.longest, batch.longest());
        let mut ropes = self.config.ropes.iter();
        if seen == 0 || !ropes.any(|rope| rope.changes_between(seen, longest)) {
            return self.read(batch, Some(cache), pass);
        }
        let whole = cache.with(batch);
        *cache = KvCache::default();
        let (all, new) = (whole.seq(), batch.seq());
        self.read(&whole, Some(cache), pass)
            .narrow(1, all - new, new)
    }

    /// As [`Decoder::hidden`], with rotary positions that are those of the cache.
    fn read(
        &self,
        batch: &CausalBatch,
        cache: Option<&mut KvCache>,
        pass: &mut Pass<'_>,
    ) -> Tensor<3> {
        let (rows, seq, d) = (batch.rows(), batch.seq(), self.config.d_model);
        let device = batch.ids.device();
        let positions = batch.distinct_positions();
        let ropes = self.config.ropes.iter();
        let rotations: Vec<Rotation> = ropes
            .map(|rope| rope.rotation(positions, &device))
            .collect();
        let mut none = KvCache::default();
        let is_cached = cache.is_some();
        let cache = cache.unwrap_or(&mut none);
        cache
            .layers
            .resize(self.blocks.len(), LayerCache::default());
        let mut ranges: Vec<(Option<usize>, Option<KeyRanges>)> = Vec::new();
        for window in &self.config.windows {
            if !ranges.iter().any(|(known, _)| known == window) {
                ranges.push((*window, batch.seen(&cache.segments, *window, &device)));
            }
        }
        let mut x = self.embed(batch, pass).reshape([rows * seq, d]);
        let sums = pass.is_observed() || pass.is_training();
        pass.set_padding(sums.then(|| batch.padding(&device)).flatten());
        for (index, block) in self.blocks.iter().enumerate() {
            let window = self.config.windows[index];
            let seen = ranges.iter().find(|(known, _)| *known == window);
            let seen = seen.and_then(|(_, seen)| seen.as_ref());
            let rotation = self.config.rope_of[index].map(|rope| &rotations[rope]);
            if is_cached {
                let context = AttentionContext {
                    seq,
                    seen,
                    rotation,
                    cache: Some(&mut cache.layers[index]),
                };
                x = block.forward(x, context, pass);
                continue;
            }
            let given = (seen.cloned(), rotation.cloned());
            x = pass.block(block, x, &given, move |block, x, (seen, rotation), pass| {
                let context = AttentionContext {
                    seq,
                    seen: seen.as_ref(),
                    rotation: rotation.as_ref(),
                    cache: None,
                };
                block.forward(x, context, pass)
            });
        }
        pass.set_padding(None);
        cache.extend(batch);
        self.norm.forward(x).reshape([rows, seq, d])
    }

    fn embed(&self, batch: &CausalBatch, pass: &mut Pass<'_>) -> Tensor<3> {
        let words = self.words.forward(batch.ids.clone(), pass);
        let words = match self.config.scales.embeddings {
            1.0 => words,
            scale => words.mul_scalar(scale),
        };
        let Some(table) = &self.positions else {
            return pass.dropout(words, self.config.embedding_dropout);
        };
        let positions = batch.distinct_positions();
        let shape = [positions.len(), batch.seq()];
        let ids: Vec<i64> = positions.iter().flatten().map(|at| *at as i64).collect();
        let ids: Tensor<2, Int> =
            Tensor::from_data(TensorData::new(ids, shape), &batch.ids.device());
        let sum = words + table.forward(ids, pass);
        pass.dropout(sum, self.config.embedding_dropout)
    }
}

impl KvCache {
    /// A batch of rows of one length that continues what the cache has seen, in the same segment.
    ///
    /// # Errors
    /// As [`CausalBatch::packed`].
    pub fn continued(&self, rows: &[Vec<u32>], device: &Device) -> Result<CausalBatch, ModelError> {
        let segments = rows.iter().map(|row| vec![1; row.len()]).collect();
        Ok(CausalBatch::packed(rows, segments, device)?.after(&self.segments))
    }

    /// How many tokens of each row it has seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.segments.first().map_or(0, Vec::len)
    }

    /// Everything that it has seen, and the batch.
    fn with(&self, batch: &CausalBatch) -> CausalBatch {
        let pieces = self.ids.iter().chain([&batch.ids]).cloned();
        batch.preceded_by(Tensor::cat(pieces.collect(), 1), &self.segments)
    }

    fn extend(&mut self, batch: &CausalBatch) {
        self.ids.push(batch.ids.clone());
        self.longest = self.longest.max(batch.longest());
        self.segments.resize(batch.rows(), Vec::new());
        for (seen, new) in self.segments.iter_mut().zip(&batch.segments) {
            seen.extend(new);
        }
    }
}

impl Adaptable for Decoder {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        let tables = [Some(&self.words), self.positions.as_ref()];
        let tables = tables.into_iter().flatten().map(|table| &table.table);
        let linears = self.blocks.iter().flat_map(DecoderBlock::linears);
        tables.chain(linears).for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        let tables = [Some(&mut self.words), self.positions.as_mut()];
        let tables = tables.into_iter().flatten().map(|table| &mut table.table);
        let linears = self.blocks.iter_mut().flat_map(DecoderBlock::linears_mut);
        tables.chain(linears).for_each(visit);
    }

    fn vocabulary_layers(&self) -> Vec<String> {
        vec![self.words.table.site().path.clone()]
    }

    fn resize_vocabulary(&mut self, tokens: usize) {
        self.words.table = with_tokens(&self.words.table, tokens);
        self.config.vocab_size = tokens;
    }
}
