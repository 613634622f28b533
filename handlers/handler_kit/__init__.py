"""The modules shared by all handlers.  A job passes through them:

    rows -> job (split into items) -> handler.decode -> handler.plan -> handler.forward
         -> handler.encode -> rows (size limit, answers into their rows)

For every handler:

batch_handler      runs these steps; a handler is a subclass
rows               reads and writes TorchServe's rows
pieces             parts of an answer that are sent before the rest is ready
job                the format in which the sidecar sends many items as one request
json_numbers       numbers from JSON, and tensors as JSON
errors             errors of items and of loading a model
config             the section `handler` of model-config.yaml
options            the options of the tensor and embedding handlers, and those of all handlers
log_lines          makes log output safe for TorchServe, which parses it line by line
memory             how much memory of the machine and of the GPU a worker uses

Loading a model:

loading            lowering, threads, acceleration and warm-up in turn
allocation         keeps freed memory for the next pass, and few of oneDNN's compiled operations
device             selects the CPU or a GPU
choices            the results of trials, stored beside the model for the next load
lowering           converts the model from fp32 to the precision that it is served in
precision          which lower precisions may be faster, and how close to fp32 they must be
int8               linear layers in 8 bits
own_form           models with an 8-bit or 16-bit form of their own
acceleration       torch.compile and TensorRT
threads            how many cores a worker may use, and when a single thread is faster
hub_checkpoint     checkpoints in the layout of the Hugging Face hub
model_type         the family of such a checkpoint, read without importing transformers
unpickling         a program for builds: extracts the tensors of a pickled checkpoint

For some handlers:

tensor_input       converts JSON values to arrays
tensor_model       a Python class, an exported program or TorchScript
text_input         texts as inputs
text_encoder       a transformer for texts, and the choice of how to batch them
text_batching      batches of texts, packed or padded, and pooling
packed_attention   attention over several texts in one row
sentence_modules   the modules of sentence-transformers that follow a transformer
seeded             random numbers from a seed, for networks that use torch's generators
wav                WAV files, for clients that use TorchServe without the sidecar

A copy of this folder is in every archive, so nothing here imports the sidecar.
"""
