"""What a failure of memory or of a GPU is taken for, by the words PyTorch has for it."""

import pytest

from huvidpo_core.errors import MemoryExhaustedError, UserError, enough_memory


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: tried to allocate 9 bytes.",
    ],
)
def test_memory_that_ran_out_is_known_by_its_words(words):
    """So that the next smaller plan is taken; not for a GPU that failed, though some of them say "CUDA error"."""
    with pytest.raises(MemoryExhaustedError, match="fewer frames"), enough_memory():
        raise RuntimeError(words)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later.",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "NCCL error in: ProcessGroupNCCL.cpp:2021, unhandled cuda error",
    ],
)
def test_a_gpu_that_failed_is_told_from_memory_that_ran_out(words):
    """The first line of what it said, and what to do; what is neither goes on as it is."""
    with pytest.raises(UserError, match=r"The GPU failed .* Restart") as caught, enough_memory():
        raise RuntimeError(words)
    assert not isinstance(caught.value, MemoryExhaustedError) and "later" not in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes differ"), enough_memory():
        raise RuntimeError("shapes differ")


def test_a_process_that_works_with_others_says_that_one_has_ended():
    """In place of what torch.distributed says of its sockets."""
    with pytest.raises(UserError, match=r"Another of the processes .* has ended\. .*--resume"), enough_memory():
        raise RuntimeError("[pytorch/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:4711")
