# Read by cmake at the beginning of llama.cpp's own project: llama-cpp-python insists on building its library of helpers
# for command-line programs and then installs it, but never loads it.
set(LLAMA_BUILD_COMMON OFF)
