/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* number — small numbers in text, with an answer for every text. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

/* The decimal number at the start of `text`, with an optional sign: what follows it is ignored, no
   digit is 0, and what does not fit is ±INT_MAX. */
int number_leading(const char *text);

#endif
