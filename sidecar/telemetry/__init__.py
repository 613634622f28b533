"""Statistics, metrics, traces and logs.

statistics     counts and times of inference requests, for /stats, /health and /info
prometheus     the metrics of /metrics
families       counters and histograms that are cheap to update, and values read at a scrape
trace_context  the position of the current request in its trace
tracing        spans for an OpenTelemetry collector
otlp_metrics   the metrics for such a collector
system         processors, memory and processes, read with psutil
gpus           NVIDIA GPUs, read with NVML
visible_gpus   CUDA_VISIBLE_DEVICES in a form that TorchServe can parse
logs           the set-up of the log files
log_queue      passes log lines to the thread that writes them
log_lines      the format of a log line, as text or JSON
log_folder     lists, reads and empties the log files, for /logs
request_id     the id of the current request
"""
