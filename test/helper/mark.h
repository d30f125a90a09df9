/* The place that libcheck tells of a test that ends otherwise than by an assertion. */
#ifndef TEST_MARK_H
#define TEST_MARK_H

/* Makes a place the last that was reached, however often it was. */
void markAlways(const char* file, int line);

#endif
