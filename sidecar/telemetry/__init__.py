"""What is measured, and where it is told.

statistics  requests since start and in the last minute, for /stats and /health
prometheus  the same and more as metrics, for /metrics
system      processor, memory and processes, by psutil
gpus        NVIDIA's GPUs, by NVML; visible_gpus: which of them TorchServe may use
logs        the log files, by a thread: log_queue, log_lines, request_id
log_folder  the same files, to be read and emptied
"""
