/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config_section.h"

/*
 * What values say about each other, once the whole file was read. Where one of them is bad already, nothing
 * more is said. whole is the section of the file.
 */
void config_check(struct config_section *whole);
