# Bytes of files inside p4c.

# p4c_embed(TARGET SYMBOL FILE): adds const unsigned char SYMBOL[] and SYMBOL_end[], the content of FILE
# (made by a rule of the same folder), to a library.
function(p4c_embed target symbol file)
  set(asm ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.S)
  file(CONFIGURE OUTPUT ${asm} @ONLY CONTENT [[
    .section .rodata
    .balign 64
    .globl @symbol@
@symbol@:
    .incbin "@file@"
    .globl @symbol@_end
@symbol@_end:
    .section .note.GNU-stack,"",%progbits
]])
  set_source_files_properties(${asm} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${asm})
endfunction()

# Sources of a library, as absolute paths.
function(p4c_sources_of out library)
  get_target_property(sources ${library} SOURCES)
  get_target_property(dir ${library} SOURCE_DIR)
  set(absolute)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${dir} NORMALIZE)
    list(APPEND absolute ${source})
  endforeach()
  set(${out} ${absolute} PARENT_SCOPE)
endfunction()

# How code that goes into artifacts is compiled, whatever the build of p4c itself is like: hidden,
# position-independent, optimised, without sanitizers, and with nothing of the C library beyond
# codegen/artifact/stubs.def.
function(p4c_artifact_code target)
  target_compile_options(${target} PRIVATE
    -O2 -g0 -fPIC -fvisibility=hidden -fno-sanitize=all -fno-lto -ffp-contract=off
    -U_FORTIFY_SOURCE -fno-stack-protector)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    target_compile_options(${target} PRIVATE -mno-outline-atomics)
  endif()
  target_compile_definitions(${target} PRIVATE NDEBUG)
endfunction()

# p4c_artifact_object(NAME FILE libraries...): one relocatable object FILE with all of `sources` and what
# it needs of library base.
function(p4c_artifact_object name file)
  add_library(${name}_parts OBJECT ${ARGN})
  p4c_artifact_code(${name}_parts)
  if(NOT TARGET artifact_base)
    p4c_sources_of(base_sources base)
    add_library(artifact_base STATIC ${base_sources})
    target_link_libraries(artifact_base PRIVATE cjson)
    p4c_artifact_code(artifact_base)
  endif()
  # what the compiler calls instead of instructions that the oldest processor lacks (bit counts)
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-libgcc-file-name OUTPUT_VARIABLE helpers
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT EXISTS "${helpers}")
    set(helpers)
  endif()
  add_custom_command(OUTPUT ${file}
    COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${file}
            $<TARGET_OBJECTS:${name}_parts> $<TARGET_FILE:artifact_base> ${helpers}
    DEPENDS ${name}_parts $<TARGET_OBJECTS:${name}_parts> artifact_base
    COMMAND_EXPAND_LISTS VERBATIM)
endfunction()
