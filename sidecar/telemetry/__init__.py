"""What is measured and logged, and how it can be read.

statistics     how inference requests went, for /stats, /health and /info
prometheus     metrics, for /metrics
families       counters and histograms that cost the hot path little, and readings
trace_context  where in its trace the request that is being served is
tracing        spans for an OpenTelemetry collector
otlp_metrics   the same metrics for such a collector
system         processor, memory and processes, by psutil
gpus           NVIDIA's GPUs, by NVML
visible_gpus   CUDA_VISIBLE_DEVICES in the form that TorchServe can read
logs           sets the log files up
log_queue      takes lines to the thread that writes them, so that nobody waits for a disk
log_lines      the format of a line, as text or JSON
log_folder     lists, reads and empties the log files, for /logs
request_id     the id of the request that is being served
"""
