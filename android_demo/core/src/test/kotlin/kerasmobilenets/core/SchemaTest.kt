package kerasmobilenets.core

import java.io.File
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class SchemaTest {
    @Test
    fun `a row has the names of the schema that the Python side checks`() {
        val schema = JSONObject(File("../../tflite/results/results.schema.json").readText())
        val properties = schema.getJSONObject("properties").getJSONObject("rows").getJSONObject("items").getJSONObject("properties")
        assertEquals(properties.keyNames().toSet(), Row.FIELDS.toSet())
    }
}
