"""What all handlers share.  A job's way through it:

    rows -> job (cut into items) -> handler.decode -> handler.plan -> handler.forward
         -> handler.encode -> rows (size limit, answers into their rows)

For every handler:

batch_handler      walks that way; a handler is a subclass
rows               TorchServe's rows: what is read from them and written into them
pieces             parts of an answer that leave before the rest is made
job                the format in which the sidecar sends many items as one request
json_numbers       numbers from JSON, and tensors as JSON
errors             what can go wrong with an item or a load
config             the section `handler` of model-config.yaml
options            the options of the tensor and embedding handlers, and their common part
log_lines          makes whatever is logged safe for TorchServe, which reads it line by line
memory             what a worker holds of the machine's and the GPU's memory

Loading a model:

loading            lowering, threads, acceleration and warm-up, one after another
allocation         lets freed memory be used again without the kernel
device             picks the CPU or a GPU
choices            what was found out by trying, kept beside the model for the next load
lowering           the model from fp32 to the precision that it is served in
precision          which lowered precisions may pay, and how near to fp32 they must be
int8               linear layers in 8 bits
acceleration       torch.compile and TensorRT
threads            how many cores a worker may use, and where a single thread is faster
hub_checkpoint     checkpoints in the layout of the Hugging Face hub
model_type         the family of such a checkpoint, read without importing transformers
unpickling         a program of the build: tensors out of a pickled checkpoint

For some handlers:

tensor_input       one JSON value to one array
tensor_model       a Python class, an exported program or TorchScript
text_input         texts as inputs
text_encoder       a transformer that reads texts, and how it takes several at once
text_batching      texts into passes, packed or padded, and pooling
packed_attention   attention over texts that share one row
sentence_modules   what sentence-transformers does after a transformer
seeded             random numbers from a seed, for networks that draw from torch's generators
wav                WAV files, for callers that use TorchServe without the sidecar

A copy of this folder lies in every archive, so nothing here imports the sidecar.
"""
