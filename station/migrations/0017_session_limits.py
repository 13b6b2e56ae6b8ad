"""What a session was limited by, and for how long."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0016_flash_order")]

    operations = [
        migrations.AddField(
            model_name="chargingsession", name="limited_by", field=models.JSONField(blank=True, default=dict)
        )
    ]
