# The house: each folder of sources is a room, a static library that links the rooms it uses and no others. What a room lists here
# is also what its files may include: tests/support/include_rules.py reads the same lists (rooms.txt in the build folder).
#
#   berth_package(name HEADERS regex TARGETS target…)
#     A library from outside, and the headers that only rooms naming it may include. To be called after the find_package that
#     defines the targets; the package counts as missing if one of them is not there.
#   berth_room(folder [SOURCES file.cc…] [USES folder…] [PACKAGES name…] [OPTIONAL] [NO_TORCH] [PRECOMPILED kind])
#     Target berth_<folder, with _ for />. OPTIONAL, or with BERTH_OPTIONAL_ROOMS any room: it is left out where one of its packages
#     or rooms is missing. NO_TORCH: linked with rooms that know libtorch, but compiled without its headers. PRECOMPILED: another
#     precompiled header than its rooms suggest.
#
# Precompiled headers: one for each kind of source file, of which a target takes what it links. They save time and nothing else: no
# file may need one (make tidy compiles without them).
#   berth_precompiled(kind HEADERS <header>… LINKS target… [OPTIONS compiler option…])
#     A kind of source file; OPTIONS are for all targets of this kind, since a precompiled header serves only those compiled alike.
#   berth_precompile(target kind)
#   berth_precompile_for(target kind torch_kind room…)
#     The second kind if one of the rooms brings the headers of libtorch along, else the first.
#   berth_loops(file.cc…)
#     Source files of a room whose loops are to be vectorized. They do without the precompiled header, which has other options.
#   berth_knows_torch(variable target…)
#     TRUE if one of the rooms brings the headers of libtorch along.
get_filename_component(BERTH_ROOT ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)

# A source file for targets that have none of their own.
set(BERTH_NOTHING ${CMAKE_BINARY_DIR}/nothing.cc)
if(NOT EXISTS ${BERTH_NOTHING})
  file(WRITE ${BERTH_NOTHING} "")
endif()

function(berth_package name)
  cmake_parse_arguments(arg "" "HEADERS" "TARGETS" ${ARGN})
  set_property(GLOBAL APPEND PROPERTY BERTH_HOUSE "package ${name} ${arg_HEADERS}")
  foreach(target ${arg_TARGETS})
    if(NOT TARGET ${target})
      return()
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY BERTH_PACKAGE_${name} ${arg_TARGETS})
endfunction()

function(berth_room folder)
  cmake_parse_arguments(arg "OPTIONAL;NO_TORCH" "PRECOMPILED" "SOURCES;USES;PACKAGES" ${ARGN})
  unset(packages)
  unset(missing)
  list(JOIN arg_USES " " uses)
  list(JOIN arg_PACKAGES " " names)
  set_property(GLOBAL APPEND PROPERTY BERTH_HOUSE "room ${folder} uses ${uses} packages ${names}")
  list(TRANSFORM arg_USES REPLACE / _ OUTPUT_VARIABLE rooms)
  list(TRANSFORM rooms PREPEND berth_)
  foreach(package ${arg_PACKAGES})
    get_property(targets GLOBAL PROPERTY BERTH_PACKAGE_${package})
    list(APPEND packages ${targets})
    if(NOT targets)
      list(APPEND missing ${package})
    endif()
  endforeach()
  foreach(room ${rooms})
    if(NOT TARGET ${room})
      list(APPEND missing ${room})
    endif()
  endforeach()
  if(missing AND (arg_OPTIONAL OR BERTH_OPTIONAL_ROOMS))
    return()
  elseif(missing)
    message(FATAL_ERROR "${folder} needs ${missing}")
  endif()

  string(REPLACE / _ target berth_${folder})
  add_library(${target} STATIC ${arg_SOURCES})
  set(kind plain)
  if(arg_NO_TORCH)
    list(TRANSFORM rooms REPLACE "(.+)" "$<LINK_ONLY:\\1>")
  else()
    berth_knows_torch(torch ${rooms} ${packages})
    if(torch)
      set_target_properties(${target} PROPERTIES BERTH_KNOWS_TORCH TRUE)
      set(kind torch)
    endif()
  endif()
  if(arg_PRECOMPILED)
    set(kind ${arg_PRECOMPILED})
  endif()
  target_link_libraries(${target} PUBLIC berth_flags ${rooms} ${packages})
  berth_precompile(${target} ${kind})
endfunction()

function(berth_precompiled kind)
  cmake_parse_arguments(arg "" "" "HEADERS;LINKS;OPTIONS" ${ARGN})
  foreach(link ${arg_LINKS})
    if(NOT TARGET ${link})
      return()
    endif()
  endforeach()
  add_library(berth_precompiled_${kind} OBJECT ${BERTH_NOTHING})
  target_link_libraries(berth_precompiled_${kind} PRIVATE berth_flags ${arg_LINKS})
  target_compile_options(berth_precompiled_${kind} PRIVATE ${arg_OPTIONS})
  target_precompile_headers(berth_precompiled_${kind} PRIVATE ${arg_HEADERS})
  set_target_properties(berth_precompiled_${kind} PROPERTIES BERTH_OPTIONS "${arg_OPTIONS}")
endfunction()

function(berth_precompile target kind)
  if(TARGET berth_precompiled_${kind})
    get_target_property(options berth_precompiled_${kind} BERTH_OPTIONS)
    target_compile_options(${target} PRIVATE ${options})
    target_precompile_headers(${target} REUSE_FROM berth_precompiled_${kind})
  endif()
endfunction()

function(berth_precompile_for target kind torch_kind)
  berth_knows_torch(torch ${ARGN})
  if(torch)
    set(kind ${torch_kind})
  endif()
  berth_precompile(${target} ${kind})
endfunction()

function(berth_loops)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3> SKIP_PRECOMPILE_HEADERS ON)
endfunction()

function(berth_knows_torch result)
  set(${result} FALSE PARENT_SCOPE)
  foreach(target ${ARGN})
    if(TARGET ${target})
      get_target_property(knows ${target} BERTH_KNOWS_TORCH)
      if(knows)
        set(${result} TRUE PARENT_SCOPE)
      endif()
    endif()
  endforeach()
endfunction()

# rooms.txt: what tests/support/include_rules.py checks.
function(berth_write_rooms)
  get_property(house GLOBAL PROPERTY BERTH_HOUSE)
  list(JOIN house "\n" text)
  file(WRITE ${CMAKE_BINARY_DIR}/rooms.txt "${text}\n")
endfunction()
